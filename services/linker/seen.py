"""The SQL of what an operator sees: every recording is in exactly one of five states, and how many are in which."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.sql import text

STATES = ("not_transferred", "pending", "in_sync", "waiting_for_ticket", "no_ticket_needed")

# Asked in this order; the first that is true is the state. A link without a ticket_id is one without a ticket, which
# is ten times as wide to carry through a count of all.
STATE = """
    case when r.transfer_version = 0 then 'not_transferred'
         when (r.transfer_version, coalesce(l.link_version, 0)) > (r.known_transfer_version, r.known_link_version)
             then 'pending'
         when l.ticket_id is not null then 'in_sync'
         when r.requires_ticket then 'waiting_for_ticket'
         else 'no_ticket_needed' end
"""
# An acknowledgement alone does not make a recording known.
KNOWN = "(r.revision > 0 or r.transfer_version > 0)"
SHOWN = f"""
    r.recording_id, r.folder_id, r.folder_name, r.filename, {STATE} as state, r.requires_ticket,
    r.transfer_version, r.clouds_uuid, coalesce(l.link_version, 0) as link_version,
    case when r.known_transfer_version = r.transfer_version then r.known_link_version else 0 end
        as acknowledged_link_version,
    l.ticket, l.source, l.linked_by, l.import_id, l.occurred_at as linked_at,
    coalesce(r.recorded_at, r.processed_at) as called_at
"""
# `offset 0`: a look at each link by its key, however many links the planner thinks it would pay to read at once.
LOOK_AT_LINK = """left join lateral (
    select * from link where link.recording_id = r.recording_id and link.link_version > 0 offset 0) l on true"""
RECORDINGS = f"select {SHOWN} from recording r {LOOK_AT_LINK}"  # noqa: S608  # this module's own text


@dataclass(frozen=True)
class States:
    """Recordings by state; every state is there. `oldest_pending_at`: when the oldest link was made that is pending."""

    counts: Mapping[str, int]
    oldest_pending_at: datetime | None


async def states(connection: AsyncConnection, *, folder_id: str | None) -> States:
    """How it stands, in all or in one folder."""
    rows = await connection.execute(
        text(f"""
            select {STATE} as state, count(*) as number, min(l.occurred_at) as oldest_link_at
            from recording r left join link l on l.recording_id = r.recording_id and l.link_version > 0
            where {KNOWN} and (cast(:folder_id as text) is null or r.folder_id = :folder_id) group by 1
        """),  # noqa: S608  # this module's own text
        {"folder_id": folder_id},
    )
    found = {row.state: row for row in rows}
    return States(
        {state: found[state].number if state in found else 0 for state in STATES},
        found["pending"].oldest_link_at if "pending" in found else None,
    )


async def statistics(connection: AsyncConnection, folder_ids: list[str] | None) -> list[Mapping[str, Any]]:
    """Per folder, in order of their ids, how many recordings it has and of how many the ticket is there or missing.

    None: one row for all, under no folder_id.
    """
    rows = await connection.execute(
        text(f"""
            select {"null" if folder_ids is None else "r.folder_id"} as folder_id, count(*) as recordings,
                   count(l.ticket_id) as linked,
                   count(*) filter (where l.ticket_id is null and r.requires_ticket) as needs_linking
            from recording r left join link l using (recording_id)
            where {KNOWN} {"" if folder_ids is None else "and r.folder_id = any(:ids) group by 1 order by 1"}
        """),  # noqa: S608  # this module's own text
        {} if folder_ids is None else {"ids": folder_ids},
    )
    return [dict(row) for row in rows.mappings()]


async def folder_ids(connection: AsyncConnection, *, after: str, limit: int) -> list[str]:
    """Ids of folders, in their order."""
    rows = await connection.execute(
        text("""
            with recursive folder (folder_id, place) as (
                (select folder_id, 1 from recording where folder_id > :after order by folder_id limit 1)
                union all
                select (select folder_id from recording r where r.folder_id > f.folder_id order by 1 limit 1), place + 1
                from folder f where f.folder_id is not null and place < :limit
            )
            select folder_id from folder where folder_id is not null order by place
        """),
        {"after": after, "limit": limit},
    )
    return [row.folder_id for row in rows]


async def folders(connection: AsyncConnection, folder_ids: list[str]) -> list[Mapping[str, Any]]:
    """These folders with how many recordings they have."""
    rows = await connection.execute(
        text(f"""
            select r.folder_id, max(r.folder_name) as folder_name, count(*) as recordings,
                   count(*) filter (where r.transfer_version > 0) as transferred
            from recording r
            where {KNOWN} and r.folder_id = any(:ids)
            group by r.folder_id order by r.folder_id
        """),  # noqa: S608  # this module's own text
        {"ids": folder_ids},
    )
    return [dict(row) for row in rows.mappings()]
