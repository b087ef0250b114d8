"""The SQL that shows imports: how far one is, what became of its rows, and whether all of that still holds."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import Target

NEEDS_A_LOOK = ("ambiguous", "invalid")


async def receipt(connection: AsyncConnection, import_id: str) -> Mapping[str, Any] | None:
    """How far an import is, with its outcomes counted."""
    row = (
        await connection.execute(
            text("""
                select import_id, filename, sha256, dry_run, rows_total, rows_done, accepted_at, finished_at,
                       (select jsonb_object_agg(outcome, count) from (
                           select outcome, count(*) as count from import_row r
                           where r.import_id = i.import_id and outcome is not null group by outcome) c) as counts
                from import i where import_id = :import_id
            """),
            {"import_id": import_id},
        )
    ).one_or_none()
    return dict(row._mapping) if row else None  # the documented way to a row as a mapping


async def rows(
    connection: AsyncConnection, import_id: str, *, after_line: int, limit: int, attention: bool = False
) -> list[Mapping[str, Any]]:
    """Decided rows after a line; with `attention` only those that somebody has to look at."""
    found = await connection.execute(
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
    return [dict(row) for row in found.mappings()]


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
                select exists (
                    select from (
                        select recording_id, max(cast(detail ->> 'link_version' as int)) as link_version
                        from import_row where import_id = :import_id and detail ? 'link_version' group by recording_id
                    ) r
                    left join link l using (recording_id)
                    where l.link_version is distinct from r.link_version
                ) or exists (
                    select from import_row r
                    left join parked_link p on p.request_id = r.import_id || ':' || lpad(cast(r.line as text), 9, '0')
                    left join link l on l.recording_id = p.applied_to
                    where r.import_id = :import_id and r.outcome = 'parked' and not coalesce(
                        p.state = 'parked' or (p.state = 'applied'
                            and (l.import_id = r.import_id or l.last_request_id = p.request_id)), false)
                )
            """),
            {"import_id": import_id},
        )
    )


async def without_recording(
    connection: AsyncConnection, import_id: str, *, after_line: int, limit: int
) -> list[tuple[int, str, Target]]:
    """(line, outcome, what it names) of rows for which no recording was there, or more than one."""
    found = await connection.execute(
        text("""
            select line, outcome, recording_id, filename, folder from import_row
            where import_id = :import_id and line > :after_line
              and (outcome = 'ambiguous' or (outcome = 'invalid' and ticket is not null
                                            and not detail ? 'link_version'))
            order by line limit :limit
        """),
        {"import_id": import_id, "after_line": after_line, "limit": limit},
    )
    return [(row.line, row.outcome, Target(row.recording_id, row.filename, row.folder)) for row in found]
