"""The SQL that shows imports: how far one is, what became of its rows, and whether all of that still holds."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.import_parts import NEEDS_A_LOOK, Decided, decided_rows
from services.linker.read_row import Asked
from services.linker.store_imports import means_of
from services.linker.target import Target
from shared.cursors import cursor_of, moment_of, place_of
from shared.sql import text

_ORDER = "imports"
_RECEIPT = """select import_id, filename, sha256, dry_run, linked_by, rows_total, rows_done, accepted_at, finished_at,
        (select jsonb_object_agg(outcome, count) from (
            select c.key as outcome, sum(cast(c.value as int)) as count
            from import_part p, jsonb_each_text(p.counts) c
            where p.import_id = i.import_id group by c.key) c) as counts
    from import i"""


async def receipt(connection: AsyncConnection, import_id: str) -> Mapping[str, Any] | None:
    """How far an import is, with its outcomes counted."""
    found = await connection.execute(text(f"{_RECEIPT} where import_id = :import_id"), {"import_id": import_id})
    row = found.mappings().one_or_none()
    return dict(row) if row else None


async def receipts(connection: AsyncConnection, *, cursor: str, limit: int) -> tuple[list[dict[str, Any]], str | None]:
    """The same of all imports, the newest first, and the cursor of the next page. Raises UnknownCursor."""
    place = place_of(cursor, _ORDER, parts=2)
    found = await connection.execute(
        text(f"""
            {_RECEIPT}
            where cast(:accepted_at as timestamptz) is null or (accepted_at, import_id) < (:accepted_at, :import_id)
            order by accepted_at desc, import_id desc limit :limit
        """),  # this module's own text
        {
            "accepted_at": moment_of(place[0]) if place else None,
            "import_id": place[1] if place else "",
            "limit": limit,
        },
    )
    rows = [dict(row) for row in found.mappings()]
    if len(rows) < limit:
        return rows, None
    return rows, cursor_of(_ORDER, [rows[-1]["accepted_at"].isoformat(), rows[-1]["import_id"]])


async def rows(
    connection: AsyncConnection, import_id: str, *, after_line: int, limit: int, attention: bool = False
) -> list[Mapping[str, Any]]:
    """Decided rows after a line; with `attention` only those that somebody has to look at."""
    found: list[Mapping[str, Any]] = []
    while len(found) < limit:
        part = await _next_part(connection, import_id, after_line=after_line, attention=attention)
        if part is None:
            break
        found += [
            {
                "line": row.line,
                "outcome": one.outcome,
                "recording_id": one.recording_id or getattr(row, "recording_id", None),
                "folder": getattr(row, "folder", None),
                "filename": row.filename,
                "ticket_id": row.ticket["ticket_id"] if isinstance(row, Asked) else None,
                "detail": one.detail,
            }
            for row, one in decided_rows(part.content, means_of(part.meant_lines, part.meant_ids), part.outcomes)
            if row.line > after_line and (one.outcome in NEEDS_A_LOOK or not attention)
        ]
        after_line = part.last_line
    return found[:limit]


async def _next_part(
    connection: AsyncConnection, import_id: str, *, after_line: int, attention: bool
) -> Row[Any] | None:
    """The first decided part with lines after this one; with `attention`, with some that somebody has to look at.

    None behind one that is not decided yet: whoever reads on from page to page misses no row.
    """
    found = await connection.execute(
        text("""
            select last_line, content, meant_lines, meant_ids, outcomes from import_part
            where import_id = :import_id and last_line > :after_line and outcomes is not null
              and (need_a_look > 0 or not :attention)
              and not exists (select from import_part before where before.import_id = :import_id
                                and before.outcomes is null and before.last_line < import_part.last_line)
            order by last_line limit 1
        """),
        {"import_id": import_id, "after_line": after_line, "attention": attention},
    )
    return found.one_or_none()


async def last_of(connection: AsyncConnection, fingerprint: str) -> str | None:
    """The import_id of the last import with this content, mapping and options, if it is finished."""
    row = (
        await connection.execute(
            text("""
                select import_id, finished_at from import where fingerprint = :fingerprint and not dry_run
                order by accepted_at desc, import_id desc limit 1
            """),
            {"fingerprint": fingerprint},
        )
    ).one_or_none()
    return str(row.import_id) if row and row.finished_at else None


async def links_changed(connection: AsyncConnection, import_id: str) -> bool:
    """Whether a link that this import made or found has another version now, or one that it parked is gone."""
    return bool(
        await connection.scalar(
            text("""
                with told as (
                    select cast(e ->> 0 as int) as line, e ->> 1 as outcome, e ->> 2 as recording_id,
                           cast(e -> 3 ->> 'link_version' as int) as link_version
                    from import_part p, jsonb_array_elements(cast(p.outcomes as jsonb)) e
                    where p.import_id = :import_id
                ), r as (
                    select line, outcome, recording_id, link_version from told
                    union all  -- of first links nothing is told but which recording is meant
                    select m.line, 'matched', m.recording_id, 1
                    from import_part p, unnest(p.meant_lines, p.meant_ids) as m (line, recording_id)
                    where p.import_id = :import_id and not exists (select from told where told.line = m.line)
                )
                select exists (
                    select from (
                        select recording_id, max(link_version) as link_version from r
                        where link_version is not null group by recording_id
                    ) newest
                    left join link l using (recording_id)
                    where l.link_version is distinct from newest.link_version
                ) or exists (
                    select from r
                    left join parked_link p on p.request_id = :import_id || ':' || lpad(cast(r.line as text), 9, '0')
                    left join link l on l.recording_id = p.applied_to
                    where r.outcome = 'parked' and not coalesce(
                        p.state = 'parked' or (p.state = 'applied'
                            and (l.import_id = :import_id or l.last_request_id = p.request_id)), false)
                )
            """),
            {"import_id": import_id},
        )
    )


async def without_recording(
    connection: AsyncConnection, import_id: str, *, after_line: int
) -> tuple[int, list[tuple[str, Target]]] | None:
    """Of the next part in which there are some, the rows for which no recording was there, or more than one.

    Its last line, and for each such row the outcome and what it names. None: there is no such part after this line.
    """
    part = await _next_part(connection, import_id, after_line=after_line, attention=True)
    if part is None:
        return None
    return part.last_line, [
        (one.outcome, Target(row.recording_id, row.filename, row.folder))
        for row, one in decided_rows(part.content, means_of(part.meant_lines, part.meant_ids), part.outcomes)
        if isinstance(row, Asked) and _found_none_or_many(one)
    ]


def _found_none_or_many(one: Decided) -> bool:
    return one.outcome == "ambiguous" or (one.outcome == "invalid" and "link_version" not in one.detail)
