"""The SQL of what an operator sees: every recording is in exactly one of five states."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

STATES = ("not_transferred", "pending", "in_sync", "waiting_for_ticket", "no_ticket_needed")

# Asked in this order; the first that is true is the state.
_STATE = """
    case when r.transfer_version = 0 then 'not_transferred'
         when (r.transfer_version, coalesce(l.link_version, 0)) > (r.known_transfer_version, r.known_link_version)
             then 'pending'
         when l.ticket is not null then 'in_sync'
         when r.requires_ticket then 'waiting_for_ticket'
         else 'no_ticket_needed' end
"""
# An acknowledgement alone does not make a recording known.
_KNOWN = "(r.revision > 0 or r.transfer_version > 0)"
_RECORDINGS = f"""
    select r.recording_id, r.folder_id, r.folder_name, r.filename, {_STATE} as state, r.requires_ticket,
           r.transfer_version, r.clouds_uuid, coalesce(l.link_version, 0) as link_version,
           case when r.known_transfer_version = r.transfer_version then r.known_link_version else 0 end
               as acknowledged_link_version,
           l.ticket, l.source, l.linked_by, l.import_id, l.occurred_at as linked_at
    from recording r left join link l on l.recording_id = r.recording_id and l.link_version > 0
"""  # noqa: S608  # this module's own text


@dataclass(frozen=True)
class Wanted:
    """Which recordings to list; None is no condition. `after`: the recording_id after which to go on."""

    folder_id: str | None = None
    state: str | None = None
    filename: str | None = None
    after: str = ""
    limit: int = 100


async def states(connection: AsyncConnection, *, folder_id: str | None) -> Mapping[str, int]:
    """Recordings by state; every state is there."""
    rows = await connection.execute(
        text(f"""
            select {_STATE} as state, count(*) as number
            from recording r left join link l on l.recording_id = r.recording_id and l.link_version > 0
            where {_KNOWN} and (cast(:folder_id as text) is null or r.folder_id = :folder_id) group by 1
        """),  # noqa: S608  # this module's own text
        {"folder_id": folder_id},
    )
    counts = {row.state: row.number for row in rows}
    return {state: counts.get(state, 0) for state in STATES}


async def recordings(connection: AsyncConnection, wanted: Wanted) -> list[Mapping[str, Any]]:
    """Recordings in order of their ids."""
    rows = await connection.execute(
        text(f"""
            {_RECORDINGS}
            where {_KNOWN} and r.recording_id > :after
              and (cast(:folder_id as text) is null or r.folder_id = :folder_id)
              and (cast(:filename as text) is null or r.name_key = normalize(:filename, NFC))
              and (cast(:state as text) is null or {_STATE} = :state)
            order by r.recording_id limit :limit
        """),  # this module's own text
        {
            "folder_id": wanted.folder_id,
            "state": wanted.state,
            "filename": wanted.filename,
            "after": wanted.after,
            "limit": wanted.limit,
        },
    )
    return [dict(row) for row in rows.mappings()]


async def recording(connection: AsyncConnection, recording_id: str) -> Mapping[str, Any] | None:
    """One recording, None if it is not known."""
    rows = await connection.execute(
        text(f"""
            {_RECORDINGS}
            where {_KNOWN} and r.recording_id = :recording_id
        """),  # this module's own text
        {"recording_id": recording_id},
    )
    row = rows.mappings().one_or_none()
    return dict(row) if row else None


async def folders(connection: AsyncConnection, folder_ids: list[str] | None) -> list[Mapping[str, Any]]:
    """Folders with how many recordings they have; None: all."""
    rows = await connection.execute(
        text(f"""
            select r.folder_id, max(r.folder_name) as folder_name, count(*) as recordings,
                   count(*) filter (where r.transfer_version > 0) as transferred
            from recording r
            where {_KNOWN} and (cast(:ids as text[]) is null or r.folder_id = any(:ids))
            group by r.folder_id order by r.folder_id
        """),  # noqa: S608  # this module's own text
        {"ids": folder_ids},
    )
    return [dict(row) for row in rows.mappings()]


async def parked_count(connection: AsyncConnection) -> int:
    """Links that wait for their recording."""
    return int(
        await connection.scalar(text("select count(*) from parked_link where state = 'parked' and ticket is not null"))
        or 0
    )


async def parked(connection: AsyncConnection, *, after: str, limit: int) -> list[Mapping[str, Any]]:
    """Parked links in order of their targets, of which each has one: senders may use a request_id for several."""
    rows = await connection.execute(
        text("""
            select target, request_id, recording_id, folder, filename,
                   cast(ticket as jsonb) ->> 'ticket_id' as ticket_id, source, requested_at, linked_by,
                   import_id, parked_at
            from parked_link where state = 'parked' and ticket is not null and target > :after
            order by target limit :limit
        """),
        {"after": after, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]
