"""The SQL of what a resync selects, folder by folder, and of how far the requests are.

The plan that is shown before and the steps that carry a resync out ask the same query; the plan adds up what the steps
take one after the other.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.decisions import Selection, Share
from services.cloud_updater.predicates import OWED, OWED_AFTER_RESYNC
from shared.cursors import cursor_of, moment_of, place_of
from shared.sql import text

_COUNTS = f"""
    count(r.recording_id) as recordings,
    count(*) filter (where r.link_version = 0) as no_ticket,
    count(*) filter (where {OWED_AFTER_RESYNC}) as to_push,
    count(*) filter (where {OWED_AFTER_RESYNC}
                     and (r.rejected is not null or l.missing or l.attempts > 0 or cast(:shut as boolean))) as blocked
"""
_SELECTED = """
    (cast(:folder_id as text) is null or l.folder_id = :folder_id)
    and (cast(:ids as text[]) is null or r.recording_id = any(:ids))
"""

# Due at `turn_at` already, and neither under way nor lost. What is tried again later is not due.
_WAITS_SINCE = "due_at <= :turn_at and not missing and (lease_until is null or lease_until < now())"


class ResyncsSeen:
    """One transaction's view; it changes nothing."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def shares(
        self, selection: Selection, *, after: str = "", limit: int | None = None, shut: bool = False
    ) -> Sequence[Share]:
        """What is selected in each folder, in order of their uuids. `shut`: the lane is stopped."""
        if selection.recording_ids is None:
            rows = await self._connection.execute(
                text(f"""
                    select l.clouds_uuid, counted.* from (
                        select * from ledger
                        where clouds_uuid > :after and (cast(:folder_id as text) is null or folder_id = :folder_id)
                        order by clouds_uuid limit :limit) l
                        cross join lateral (
                            select {_COUNTS} from recording r where r.clouds_uuid = l.clouds_uuid) counted
                    order by l.clouds_uuid
                """),  # noqa: S608  # this module's own text
                {
                    "after": after,
                    "folder_id": selection.folder_id,
                    "limit": limit,
                    "force": selection.force,
                    "shut": shut,
                },
            )
        else:
            rows = await self._connection.execute(
                text(f"""
                    select l.clouds_uuid, {_COUNTS} from recording r join ledger l using (clouds_uuid)
                    where r.recording_id = any(:ids) and l.clouds_uuid > :after
                    group by l.clouds_uuid order by l.clouds_uuid limit :limit
                """),  # noqa: S608  # this module's own text
                {
                    "ids": list(selection.recording_ids),
                    "after": after,
                    "limit": limit,
                    "force": selection.force,
                    "shut": shut,
                },
            )
        return [Share(*row) for row in rows]

    async def due_folders(self, *, limit: int) -> int:
        """How many folders wait for their push, at most `limit`."""
        found = await self._connection.scalar(
            text("select count(*) from (select from ledger where due_at is not null limit :limit) due"),
            {"limit": limit},
        )
        return int(found or 0)

    async def backlog(self, turn_at: datetime) -> bool:
        """Whether a folder waits for its push that was due by then: folders are pushed in the order they became due."""
        found = await self._connection.scalar(
            text(f"select exists (select from ledger where {_WAITS_SINCE})"),  # noqa: S608  # this module's own text
            {"turn_at": turn_at},
        )
        return bool(found)

    async def folders_before(self, turn_at: datetime, *, besides: Collection[str] = ()) -> int:
        """How many such folders there are, besides these."""
        found = await self._connection.scalar(
            text(f"select count(*) from ledger where {_WAITS_SINCE} and clouds_uuid <> all(:besides)"),  # noqa: S608  # this module's own text
            {"turn_at": turn_at, "besides": list(besides)},
        )
        return int(found or 0)


@dataclass(frozen=True)
class Progress:
    """How far one is: folders looked at, of all that it selects now, and selected recordings still to be pushed.

    `refused`: selected recordings that no push is tried of, as the cloud refuses them or has lost their folder.
    `folders_before`: folders to which it gives way.
    """

    folders: int
    folders_done: int
    owed: int
    refused: int
    folders_before: int


_ROW = """
    request_id, requested_at, requested_by, received_at, force, cardinality(recording_ids) as recordings, folder_id,
    rate_per_minute, made_owed, done_at,
    case when cancelled_at is not null then 'cancelled' when done_at is not null then 'carried_out'
         when paused_at is not null then 'paused' when after_uuid = '' then 'waiting' else 'running' end as state
"""


async def resyncs(
    connection: AsyncConnection, *, unfinished: bool, limit: int, cursor: str = ""
) -> tuple[Sequence[Mapping[str, Any]], str | None]:
    """The newest requests first, and the cursor of those that follow, if any may. Raises UnknownCursor."""
    place = place_of(cursor, "resync", parts=2)
    rows = await connection.execute(
        text(f"""
            select {_ROW} from sync_request
            where (done_at is null or not :unfinished)
                and (cast(:after_at as timestamptz) is null
                     or (received_at, request_id) < (cast(:after_at as timestamptz), cast(:after_id as text)))
            order by received_at desc, request_id desc limit :limit
        """),  # noqa: S608  # this module's own text
        {
            "unfinished": unfinished,
            "limit": limit,
            "after_at": moment_of(place[0]) if place else None,
            "after_id": place[1] if place else None,
        },
    )
    found = [dict(row) for row in rows.mappings()]
    if len(found) < limit:
        return found, None
    return found, cursor_of("resync", [found[-1]["received_at"].isoformat(), found[-1]["request_id"]])


async def resync(connection: AsyncConnection, request_id: str) -> tuple[Mapping[str, Any], Progress] | None:
    """One request and how far it is; None if there is none of this id."""
    row = (
        (
            await connection.execute(
                text(f"""
                    select {_ROW}, after_uuid, recording_ids, coalesce(made_owed_at, received_at) as turn_at
                    from sync_request where request_id = :request_id
                """),  # noqa: S608  # this module's own text
                {"request_id": request_id},
            )
        )
        .mappings()
        .one_or_none()
    )
    if row is None:
        return None
    selected = {"folder_id": row["folder_id"], "ids": row["recording_ids"]}
    folders = (
        await connection.execute(
            text("""
                select count(*) as folders, count(*) filter (where clouds_uuid <= :after) as done from ledger l
                where case when cast(:ids as text[]) is null
                           then cast(:folder_id as text) is null or l.folder_id = :folder_id
                           else clouds_uuid in (select clouds_uuid from recording where recording_id = any(:ids)) end
            """),
            {**selected, "after": row["after_uuid"]},
        )
    ).one()
    owed = await connection.scalar(
        text(f"""
            select count(*) from ledger l join recording r on {OWED}
            where l.cursor < l.last_seq and not l.missing and {_SELECTED}
        """),  # noqa: S608  # this module's own text
        selected,
    )
    refused = await connection.scalar(
        text(f"""
            select (select count(*) from ledger l join recording r using (clouds_uuid)
                    where r.rejected is not null and {_SELECTED})
                 + (select count(*) from ledger l join recording r on {OWED}
                    where l.cursor < l.last_seq and l.missing and {_SELECTED})
        """),  # noqa: S608  # this module's own text
        selected,
    )
    gives_way = row["rate_per_minute"] and row["state"] in {"waiting", "running"}
    before = await ResyncsSeen(connection).folders_before(row["turn_at"]) if gives_way else 0
    shown = {name: value for name, value in row.items() if name not in {"after_uuid", "recording_ids", "turn_at"}}
    done = folders.folders if row["state"] == "carried_out" else folders.done
    return shown, Progress(folders.folders, done, int(owed or 0), int(refused or 0), before)
