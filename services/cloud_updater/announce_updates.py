"""Announces CloudTicketUpdated: the pushes that the cloud has acknowledged, until they have come back on the topic.

A recording is to be announced if its seq is behind its folder's cursor and its link is newer than what is known: once
our own fact is folded it is known, so nothing needs to be marked.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import CloudTicketUpdated
from schemas.topics import CLOUD_TICKET_UPDATED
from shared.facts import as_record
from shared.producer import Outgoing

_UNHEARD = """
    r.clouds_uuid = l.clouds_uuid and r.seq > l.heard_cursor and r.seq <= l.cursor
    and r.rejected is null and r.link_version > 0
    and (r.transfer_version, r.link_version) > (r.known_transfer_version, r.known_link_version)
"""


async def unheard(connection: AsyncConnection, limit: int) -> Mapping[str, object]:
    """Recording → (transfer_version, link_version), folder by folder."""
    # Up to the cursor as this statement saw it: behind one that moved meanwhile are recordings that nobody looked at.
    await connection.execute(
        text(f"""
            with settled as materialized (
                select l.clouds_uuid, l.cursor from ledger l
                where l.heard_cursor < l.cursor and not exists (select from recording r where {_UNHEARD})
            ), locked as materialized (
                select clouds_uuid from ledger where clouds_uuid in (select clouds_uuid from settled)
                order by clouds_uuid for update skip locked
            )
            update ledger set heard_cursor = greatest(heard_cursor, settled.cursor)
            from settled join locked using (clouds_uuid)
            where ledger.clouds_uuid = settled.clouds_uuid and ledger.cursor >= settled.cursor
        """)  # noqa: S608  # this module's own text
    )
    rows = await connection.execute(
        text(f"""
            select r.recording_id, r.transfer_version, r.link_version
            from ledger l join recording r on {_UNHEARD}
            where l.heard_cursor < l.cursor order by l.clouds_uuid, r.seq limit :limit
        """),  # noqa: S608  # this module's own text
        {"limit": limit},
    )
    return {row.recording_id: (row.transfer_version, row.link_version) for row in rows}


async def facts(connection: AsyncConnection, recording_ids: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
    """Recording → (version, record) for those that are still to be announced."""
    rows = await connection.execute(
        text(f"""
            select r.recording_id, r.clouds_uuid, r.transfer_version, r.link_version, l.pushed_at
            from ledger l join recording r on {_UNHEARD}
            where r.recording_id = any(:ids) order by l.clouds_uuid, r.seq
        """),  # noqa: S608  # this module's own text
        {"ids": list(recording_ids)},
    )
    found = {}
    for row in rows:
        event = CloudTicketUpdated(
            recording_id=row.recording_id,
            clouds_uuid=row.clouds_uuid,
            transfer_version=row.transfer_version,
            link_version=row.link_version,
            updated_at=row.pushed_at,
        )
        record = as_record(
            CLOUD_TICKET_UPDATED,
            event,
            key=row.recording_id,
            version=f"{row.transfer_version}.{row.link_version}",
            source="cloud_updater",
            time=row.pushed_at,
        )
        found[row.recording_id] = ((row.transfer_version, row.link_version), record)
    return found
