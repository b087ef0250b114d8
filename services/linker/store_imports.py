"""The SQL of imports: a file's rows are stored when it is accepted, and decided lot by lot."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.read_spreadsheet import Asked, Invalid

NEEDS_A_LOOK = ("ambiguous", "invalid")


@dataclass(frozen=True)
class Accepted:
    """An import's own settings. Its rows are requests of the moment when it was accepted, in order of their lines."""

    import_id: str
    filename: str
    sha256: str
    folder: str | None
    park: bool
    linked_by: str | None
    accepted_at: datetime


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

    async def accept(self, accepted: Accepted, rows: Sequence[Asked | Invalid], duplicates: Mapping[int, int]) -> None:
        """Store the file's rows. `duplicates`: line → the later line that takes its place."""
        decided = [one for one in rows if isinstance(one, Invalid) or one.line in duplicates]
        await self._connection.execute(
            text("""
                insert into import (import_id, filename, sha256, folder, park, linked_by, accepted_at, rows_total,
                                    rows_done, finished_at)
                values (:import_id, :filename, :sha256, :folder, :park, :linked_by, :accepted_at, cast(:total as int),
                        cast(:done as int), case when cast(:total as int) = cast(:done as int) then now() end)
            """),
            {
                "import_id": accepted.import_id,
                "filename": accepted.filename,
                "sha256": accepted.sha256,
                "folder": accepted.folder,
                "park": accepted.park,
                "linked_by": accepted.linked_by,
                "accepted_at": accepted.accepted_at,
                "total": len(rows),
                "done": len(decided),
            },
        )
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
            {"import_id": accepted.import_id, **_columns(rows, duplicates, accepted.folder)},
        )

    async def lock_running(self) -> Accepted | None:
        """Lock the oldest import that has undecided rows."""
        row = (
            await self._connection.execute(
                text("""
                    select import_id, filename, sha256, folder, park, linked_by, accepted_at from import
                    where finished_at is null order by accepted_at, import_id limit 1 for update skip locked
                """)
            )
        ).one_or_none()
        return Accepted(*row) if row else None

    async def undecided(self, import_id: str, limit: int) -> list[Undecided]:
        """The next rows, in order of their lines."""
        rows = await self._connection.execute(
            text("""
                select line, recording_id, folder, filename, ticket from import_row
                where import_id = :import_id and outcome is null order by line limit :limit
            """),
            {"import_id": import_id, "limit": limit},
        )
        return [Undecided(*row) for row in rows]

    async def decide(self, import_id: str, rows: Sequence[Decided]) -> None:
        """Store what became of these rows; an import without undecided rows is finished."""
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
        await self._connection.execute(
            text("""
                update import set rows_done = rows_done + :done,
                    finished_at = case when rows_done + :done >= rows_total then now() end
                where import_id = :import_id
            """),
            {"import_id": import_id, "done": len(rows)},
        )

    async def receipt(self, import_id: str) -> Mapping[str, Any] | None:
        """How far an import is, with its outcomes counted."""
        row = (
            await self._connection.execute(
                text("""
                    select import_id, filename, rows_total, rows_done, accepted_at, finished_at,
                           (select jsonb_object_agg(outcome, count) from (
                               select outcome, count(*) as count from import_row r
                               where r.import_id = i.import_id and outcome is not null group by outcome) c) as counts
                    from import i where import_id = :import_id
                """),
                {"import_id": import_id},
            )
        ).one_or_none()
        return dict(row._mapping) if row else None  # the documented way to a row as a mapping

    async def rows(self, import_id: str, *, after_line: int, limit: int, attention: bool) -> list[Mapping[str, Any]]:
        """Decided rows after a line; with `attention` only those that somebody has to look at."""
        rows = await self._connection.execute(
            text("""
                select line, outcome, recording_id, folder, filename, ticket ->> 'ticket_id' as ticket_id, detail
                from import_row
                where import_id = :import_id and line > :after_line and outcome is not null
                  and (not :attention or outcome = any(:needs_a_look))
                order by line limit :limit
            """),
            {
                "import_id": import_id,
                "after_line": after_line,
                "limit": limit,
                "attention": attention,
                "needs_a_look": list(NEEDS_A_LOOK),
            },
        )
        return [dict(row) for row in rows.mappings()]

    async def running(self) -> int:
        """Imports that are not finished."""
        return int(await self._connection.scalar(text("select count(*) from import where finished_at is null")) or 0)


def _columns(
    rows: Sequence[Asked | Invalid], duplicates: Mapping[int, int], folder: str | None
) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {
        name: [] for name in ("lines", "ids", "folders", "names", "tickets", "outcomes", "details")
    }
    for row in rows:
        asked = row if isinstance(row, Asked) else None
        detail: dict[str, object] | None = None
        if isinstance(row, Invalid):
            detail = {"field": row.field, "message": row.message}
        elif row.line in duplicates:
            detail = {"replaced_by_line": duplicates[row.line]}
        outcome = "invalid" if asked is None else "duplicate" if detail else None
        columns["lines"].append(row.line)
        columns["ids"].append(asked.recording_id if asked else None)
        columns["folders"].append((asked.folder or folder) if asked and not asked.recording_id else None)
        columns["names"].append(asked.filename if asked else None)
        columns["tickets"].append(json.dumps(asked.ticket) if asked else None)
        columns["outcomes"].append(outcome)
        columns["details"].append(json.dumps(detail) if detail else None)
    return columns
