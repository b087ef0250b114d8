"""The SQL that accepts imports and decides their rows: stored when a file is accepted, decided lot by lot."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import OnExisting
from services.linker.read_spreadsheet import Asked, Row

_SETTINGS = "import_id, filename, sha256, fingerprint, folder, park, on_existing, dry_run, linked_by, accepted_at"


@dataclass(frozen=True)
class Accepted:
    """An import's own settings. Its rows are requests of the moment when it was accepted, in order of their lines."""

    import_id: str
    filename: str
    sha256: str
    fingerprint: str
    folder: str | None
    park: bool
    on_existing: OnExisting
    dry_run: bool
    linked_by: str | None
    accepted_at: datetime


@dataclass(frozen=True)
class Running:
    """An import of which every row up to this line is decided."""

    accepted: Accepted
    done_to_line: int


@dataclass(frozen=True)
class Undecided:
    """A row that is to be linked."""

    line: int
    recording_id: str | None
    folder: str | None
    filename: str | None
    ticket: Mapping[str, str]


@dataclass(frozen=True)
class Decided:
    """What became of a row."""

    line: int
    outcome: str
    recording_id: str | None
    detail: Mapping[str, Any]


class Imports:
    """One transaction's view of the tables `import` and `import_row`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def begin(self, accepted: Accepted) -> None:
        """Store the import itself. Until `accept`, in the same transaction, nobody else sees it or its rows."""
        await self._connection.execute(
            text(f"""
                insert into import ({_SETTINGS}, rows_total, rows_done, done_to_line)
                values (:import_id, :filename, :sha256, :fingerprint, :folder, :park, :on_existing, :dry_run,
                        :linked_by, :accepted_at, 0, 0, 0)
            """),  # noqa: S608  # this module's own text
            vars(accepted),
        )

    async def add(self, accepted: Accepted, rows: Sequence[Row]) -> None:
        """Store some of the file's rows; those that are invalid are decided with that."""
        await self._connection.execute(
            text("""
                insert into import_row (import_id, line, recording_id, folder, filename, ticket, outcome, detail)
                select :import_id, u.line, u.recording_id, u.folder, u.filename, cast(u.ticket as jsonb), u.outcome,
                       cast(u.detail as jsonb)
                from unnest(cast(:lines as int[]), cast(:ids as text[]), cast(:folders as text[]),
                            cast(:names as text[]), cast(:tickets as text[]), cast(:outcomes as text[]),
                            cast(:details as text[]))
                    as u (line, recording_id, folder, filename, ticket, outcome, detail)
            """),
            {"import_id": accepted.import_id, **_columns(rows, accepted.folder)},
        )

    async def accept(self, import_id: str, *, now: datetime) -> None:
        """All rows are stored: decide those whose recording a later line names as well, and let the import run."""
        await self._connection.execute(
            text("""
                update import_row r
                set outcome = 'duplicate', detail = jsonb_build_object('replaced_by_line', named.last_line)
                from (
                    select line, max(line) over (
                        partition by recording_id, folder, normalize(filename, NFC)) as last_line
                    from import_row where import_id = :import_id and outcome is null
                ) named
                where r.import_id = :import_id and r.line = named.line and named.last_line > named.line
            """),
            {"import_id": import_id},
        )
        await self._connection.execute(
            text("""
                update import set accepted_at = :now, rows_total = counted.total, rows_done = counted.done,
                    finished_at = case when counted.total = counted.done then now() end
                from (select count(*) as total, count(outcome) as done from import_row where import_id = :import_id)
                    counted
                where import_id = :import_id
            """),
            {"import_id": import_id, "now": now},
        )

    async def lock_running(self) -> Running | None:
        """Lock the oldest import that has undecided rows."""
        row = (
            await self._connection.execute(
                text(f"""
                    select {_SETTINGS}, done_to_line from import
                    where finished_at is null order by accepted_at, import_id limit 1 for update skip locked
                """)  # noqa: S608  # this module's own text
            )
        ).one_or_none()
        return Running(Accepted(*row[:-1]), row.done_to_line) if row else None

    async def undecided(self, running: Running, *, to_line: int) -> list[Undecided]:
        """The next rows up to this line, in order of their lines."""
        rows = await self._connection.execute(
            text("""
                select line, recording_id, folder, filename, ticket from import_row
                where import_id = :import_id and outcome is null
                    and line > :done_to_line and line <= :to_line
                order by line
            """),
            {"import_id": running.accepted.import_id, "done_to_line": running.done_to_line, "to_line": to_line},
        )
        return [Undecided(*row) for row in rows]

    async def decide(self, import_id: str, rows: Sequence[Decided], *, to_line: int) -> bool:
        """Store what became of these rows, all up to this line. True: they were the last of the import."""
        await self._connection.execute(
            text("""
                update import_row set outcome = u.outcome, detail = cast(u.detail as jsonb),
                    recording_id = coalesce(u.recording_id, import_row.recording_id)
                from unnest(cast(:lines as int[]), cast(:outcomes as text[]), cast(:ids as text[]),
                            cast(:details as text[]))
                    as u (line, outcome, recording_id, detail)
                where import_row.import_id = :import_id and import_row.line = u.line
            """),
            {
                "import_id": import_id,
                "lines": [one.line for one in rows],
                "outcomes": [one.outcome for one in rows],
                "ids": [one.recording_id for one in rows],
                "details": [json.dumps(dict(one.detail)) for one in rows],
            },
        )
        finished = await self._connection.scalar(
            text("""
                update import set rows_done = rows_done + :done, done_to_line = :line,
                    finished_at = case when rows_done + :done >= rows_total then now() end
                where import_id = :import_id
                returning finished_at is not null
            """),
            {"import_id": import_id, "done": len(rows), "line": to_line},
        )
        return bool(finished)

    async def running(self) -> int:
        """Imports that are not finished."""
        return int(await self._connection.scalar(text("select count(*) from import where finished_at is null")) or 0)


def _columns(rows: Sequence[Row], folder: str | None) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("lines", "ids", "folders", "names", "tickets", "outcomes", "details")
    }
    for row in rows:
        asked = row if isinstance(row, Asked) else None
        detail = None if isinstance(row, Asked) else {"field": row.field, "message": row.message}
        columns["lines"].append(row.line)
        columns["ids"].append(asked.recording_id if asked else None)
        columns["folders"].append((asked.folder or folder) if asked and not asked.recording_id else None)
        columns["names"].append(asked.filename if asked else None)
        columns["tickets"].append(json.dumps(asked.ticket) if asked else None)
        columns["outcomes"].append(None if asked else "invalid")
        columns["details"].append(json.dumps(detail) if detail else None)
    return columns
