"""The SQL that accepts imports and decides their rows: stored when a file is accepted, decided part by part."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import OnExisting
from services.linker.import_parts import Outcomes, Part
from services.linker.store_candidates import MEANT_FOLDERS, THE_ONE_MEANT, WITH_MEANT_FOLDERS
from shared.arrays import with_arrays
from shared.sql import text

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
    """A part of an import that nobody else decides now.

    `means`: line → the recording that it named, `replaced`: line → a later one of the same name.
    """

    accepted: Accepted
    last_line: int
    rows: int
    content: str
    means: Mapping[int, str]
    replaced: Mapping[str, int]


class Imports:
    """One transaction's view of the tables `import` and `import_part`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def begin(self, accepted: Accepted) -> None:
        """Store the import itself. Until `accept`, in the same transaction, nobody else sees it or its rows."""
        await self._connection.execute(
            text(f"""
                insert into import ({_SETTINGS}, rows_total, rows_done)
                values (:import_id, :filename, :sha256, :fingerprint, :folder, :park, :on_existing, :dry_run,
                        :linked_by, :accepted_at, 0, 0)
            """),  # noqa: S608  # this module's own text
            vars(accepted),
        )
        await self._connection.execute(
            text("create temporary table import_key (last_line int, line int, key text) on commit drop")
        )

    async def add(self, import_id: str, part: Part) -> None:
        """Store some of the file's rows, with the recordings that they mean, and what they name, until `accept` has
        compared it: so rows that name one recording in different ways are known as such.
        """
        await self._connection.execute(
            with_arrays(f"""
                with u as (
                    select * from unnest(
                        cast(:lines as int[]), cast(:ids as text[]), cast(:names as text[]),
                        cast(:have_extensions as boolean[]), cast(:folders as text[]), cast(:tickets as text[]),
                        cast(:ticket_ids as text[]), cast(:shown as text[]))
                    as u (line, recording_id, name_key, has_extension, folder, ticket, ticket_id, shown)
                ), {MEANT_FOLDERS}, named as materialized (
                    select u.*, meant.recording_id as means from {WITH_MEANT_FOLDERS}
                        left join lateral ({THE_ONE_MEANT}) meant (recording_id) on true
                ), part as (
                    insert into import_part (import_id, last_line, rows, content, meant_lines, meant_ids, first_tickets,
                        first_ticket_ids, first_shown, outcomes, counts, need_a_look)
                    select :import_id, :last_line, :rows, :content, array_agg(line), array_agg(means),
                        array_agg(ticket), array_agg(ticket_id), array_agg(shown), :outcomes,
                        cast(:counts as jsonb), :need_a_look
                    from named where means is not null
                )
                insert into import_key (last_line, line, key)
                select :last_line, line, coalesce(
                    'id ' || coalesce(means, recording_id),
                    'name ' || md5(cast(json_build_array(folder, name_key) as text)))
                from named
            """),  # noqa: S608  # stores' own text
            {
                "import_id": import_id,
                "last_line": part.last_line,
                "rows": part.rows,
                "content": part.content,
                **part.asked,
                **_columns(part.outcomes),
            },
        )

    async def accept(self, import_id: str, *, now: datetime) -> None:
        """All rows are stored: note those whose recording a later line names as well, and let the import run."""
        await self._connection.execute(
            text("""
                update import_part p set replaced = named.lines
                from (
                    select last_line, jsonb_object_agg(line, newest) as lines from import_key join (
                        select key, max(line) as newest from import_key group by key having count(*) > 1
                    ) again using (key) where line < newest group by last_line
                ) named
                where p.import_id = :import_id and p.last_line = named.last_line
            """),
            {"import_id": import_id},
        )
        await self._connection.execute(
            text("""
                update import set accepted_at = :now, rows_total = counted.total, rows_done = counted.done,
                    finished_at = case when counted.total = counted.done then now() end
                from (select sum(rows) as total, coalesce(sum(rows) filter (where outcomes is not null), 0) as done
                      from import_part where import_id = :import_id) counted
                where import_id = :import_id
            """),
            {"import_id": import_id, "now": now},
        )

    async def claim_part(self) -> Running | None:
        """Lock the first undecided part of the oldest import that has one which nobody else is deciding.

        Imports are gone through in order, no further than that part: ordered outside, one of each would be locked.
        """
        row = (
            await self._connection.execute(
                text(f"""
                    select {_SETTINGS}, p.* from (
                        select * from import where finished_at is null order by accepted_at, import_id) i
                    cross join lateral (
                        select last_line, rows, content, meant_lines, meant_ids, replaced from import_part
                        where import_id = i.import_id and outcomes is null
                        order by last_line limit 1 for update skip locked) p
                    limit 1
                """)  # noqa: S608  # this module's own text
            )
        ).one_or_none()
        if row is None:
            return None
        return Running(
            Accepted(*row[:-6]),
            row.last_line,
            row.rows,
            row.content,
            means_of(row.meant_lines, row.meant_ids),
            row.replaced or {},
        )

    async def decide(self, running: Running, outcomes: Outcomes) -> bool:
        """Store what became of the rows of this part. True: now all of the import are decided."""
        import_id = running.accepted.import_id
        await self._connection.execute(
            text("""
                update import_part set
                    outcomes = :outcomes, counts = cast(:counts as jsonb), need_a_look = :need_a_look,
                    first_tickets = null, first_ticket_ids = null, first_shown = null
                where import_id = :import_id and last_line = :last_line
            """),
            {"import_id": import_id, "last_line": running.last_line, **_columns(outcomes)},
        )
        finished = await self._connection.scalar(
            text("""
                update import set rows_done = rows_done + :done,
                    finished_at = case when rows_done + :done >= rows_total then now() end
                where import_id = :import_id
                returning finished_at is not null
            """),
            {"import_id": import_id, "done": running.rows},
        )
        return bool(finished)

    async def running(self) -> int:
        """Imports that are not finished."""
        return int(await self._connection.scalar(text("select count(*) from import where finished_at is null")) or 0)


def means_of(lines: Sequence[int] | None, recording_ids: Sequence[str] | None) -> dict[int, str]:
    """Line → the recording that it named, of the columns of a part."""
    return dict(zip(lines or (), recording_ids or (), strict=True))


def _columns(outcomes: Outcomes | None) -> dict[str, Any]:
    return {
        "outcomes": outcomes.content if outcomes else None,
        "counts": outcomes.counts if outcomes else None,
        "need_a_look": outcomes.need_a_look if outcomes else None,
    }
