"""Announces TicketLinked: the newest link of each recording, until the topic says so.

A row is to be announced while the last record of the topic about its recording says another version. One that was
published late, and so stands behind a newer one, is corrected by the same rule.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketInfo, TicketLinked
from schemas.topics import TICKET_LINKED
from shared.facts import as_record
from shared.producer import Outgoing


async def unheard(connection: AsyncConnection, limit: int) -> Mapping[str, object]:
    """Recording → link_version, folder by folder; the links of an import not before all its rows are stored."""
    rows = await connection.execute(
        text("""
            select recording_id, link_version from link
            where heard_version <> link_version and (import_id is null or not exists (
                select from import i where i.import_id = link.import_id and i.finished_at is null))
            order by folder_id, recording_id limit :limit
        """),
        {"limit": limit},
    )
    return {row.recording_id: row.link_version for row in rows}


async def facts(connection: AsyncConnection, recording_ids: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
    """Recording → (link_version, record) as the links are now."""
    rows = await connection.execute(
        text("""
            select recording_id, link_version, ticket, folder_id, filename, source, request_id, requested_at, linked_by,
                   import_id, occurred_at
            from link where recording_id = any(:ids) order by folder_id, recording_id
        """),
        {"ids": list(recording_ids)},
    )
    found = {}
    for row in rows:
        event = TicketLinked(
            recording_id=row.recording_id,
            folder_id=row.folder_id,
            filename=row.filename,
            link_version=row.link_version,
            ticket_info=TicketInfo.model_validate_json(row.ticket) if row.ticket else None,
            source=row.source,
            request_id=row.request_id,
            requested_at=row.requested_at,
            linked_by=row.linked_by,
            import_id=row.import_id,
            occurred_at=row.occurred_at,
        )
        record = as_record(
            TICKET_LINKED,
            event,
            key=row.recording_id,
            version=str(row.link_version),
            source="linker",
            time=row.occurred_at,
        )
        found[row.recording_id] = (row.link_version, record)
    return found
