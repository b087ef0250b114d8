"""The SQL of resyncs: requests to look again, carried out in bounded steps.

Without force only what is not in sync is made owed again: what the cloud refused, and whatever the bookkeeping missed.
With force everything selected is: recordings by a forced seq of their own, folders by `forced_until`, and a push that
is under way then cannot move the cursor (the generation has changed). Either way a folder that waits for its next try,
or that the cloud had lost, is tried at once.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketSyncRequested
from services.cloud_updater.claims import BEHIND
from services.cloud_updater.store import Store

# Not in sync, and not merely waiting for its acknowledgement to come back on our own topic.
_OUT_OF_SYNC = f"r.link_version > 0 and (r.rejected is not null or (r.seq <= l.heard_cursor and {BEHIND}))"

# By folder in the cloud, recordings.
Placed = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class OpenRequest:
    """A request that is not carried out in full. All fields of the selection null: everything."""

    request_id: str
    force: bool
    recording_ids: Collection[str] | None
    folder_id: str | None
    after_uuid: str


class Resyncs:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._store = Store(connection)

    async def receive(self, requests: Iterable[tuple[TicketSyncRequested, datetime]]) -> int:
        """Store requests, each with when it was asked for, that are new and not older than this database.

        Returns how many were.
        """
        new = 0
        for request, asked_at in requests:
            stored = await self._connection.execute(
                text("""
                    insert into sync_request (request_id, requested_at, requested_by, force, recording_ids, folder_id,
                                              received_at, after_uuid)
                    select :request_id, :requested_at, :requested_by, :force, cast(:recording_ids as text[]),
                           :folder_id, now(), ''
                    from origin where created_at <= :asked_at
                    on conflict do nothing
                """),
                {
                    "request_id": request.request_id,
                    "requested_at": request.requested_at,
                    "requested_by": request.requested_by,
                    "force": request.force,
                    "recording_ids": list(request.recording_ids) if request.recording_ids else None,
                    "folder_id": request.folder_id,
                    "asked_at": asked_at,
                },
            )
            new += stored.rowcount
        return new

    async def next_open(self) -> OpenRequest | None:
        """Lock the oldest request that is open."""
        row = (
            await self._connection.execute(
                text("""
                    select request_id, force, recording_ids, folder_id, after_uuid from sync_request
                    where done_at is null order by received_at, request_id limit 1 for update skip locked
                """)
            )
        ).one_or_none()
        return OpenRequest(*row) if row else None

    async def push_recordings(self, recording_ids: Collection[str], *, force: bool) -> None:
        """Make these recordings owed, or those of them that are not in sync; the others have nothing to push."""
        placed = await self._lock(recording_ids, folders=())
        if force:
            await self._number(placed, forced=True)
        else:
            await self._number(await self._out_of_sync(placed), forced=False)
        await self._due_now(placed)

    async def push_again(self, recording_ids: Collection[str]) -> None:
        """Make these recordings owed whatever is known. A folder that failed keeps the time of its next try."""
        placed = await self._lock(recording_ids, folders=())
        await self._number(placed, forced=True)
        await self._connection.execute(
            text("""
                update ledger set due_at = now()
                where clouds_uuid = any(:uuids) and not missing and (attempts = 0 or due_at is null)
            """),
            {"uuids": list(placed)},
        )

    async def push_folders(self, request: OpenRequest, *, limit: int) -> str | None:
        """Carry out the request for its next `limit` folders. Returns the last of them, None: there are no more."""
        uuids = list(
            await self._connection.scalars(
                text("""
                    select clouds_uuid from ledger
                    where clouds_uuid > :after and (cast(:folder_id as text) is null or folder_id = :folder_id)
                    order by clouds_uuid limit :limit
                """),
                {"after": request.after_uuid, "folder_id": request.folder_id, "limit": limit},
            )
        )
        if not uuids:
            return None
        if request.force:
            await self._force(uuids)
        else:
            placed = await self._lock(await self._candidates(uuids), folders=uuids)
            await self._number(await self._out_of_sync(placed), forced=False)
            await self._due_now(uuids)
        return str(uuids[-1])

    async def progress(self, request: OpenRequest, after_uuid: str | None) -> None:
        """Remember how far the request is carried out; None: in full."""
        await self._connection.execute(
            text("""
                update sync_request set after_uuid = coalesce(:after, after_uuid),
                    done_at = case when cast(:after as text) is null then now() end
                where request_id = :request_id
            """),
            {"request_id": request.request_id, "after": after_uuid},
        )

    async def _force(self, uuids: Collection[str]) -> None:
        await self._connection.execute(
            text("""
                update recording set rejected = null where recording_id in (
                    select recording_id from recording where clouds_uuid = any(:uuids) and rejected is not null
                    order by recording_id for update)
            """),
            {"uuids": list(uuids)},
        )
        await self._store.lock_ledgers(uuids)
        await self._connection.execute(
            text("""
                update ledger set cursor = 0, heard_cursor = 0, forced_until = last_seq, generation = generation + 1,
                    missing = false, due_at = now()
                where clouds_uuid = any(:uuids)
            """),
            {"uuids": list(uuids)},
        )

    async def _lock(self, recording_ids: Collection[str], *, folders: Collection[str]) -> Placed:
        """Lock those of the recordings that are in the cloud and have a link, then their ledgers and `folders`'."""
        rows = await self._connection.execute(
            text("""
                select recording_id, clouds_uuid from recording
                where recording_id = any(:ids) and clouds_uuid is not null and link_version > 0
                order by recording_id for update
            """),
            {"ids": list(recording_ids)},
        )
        placed: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            placed[row.clouds_uuid].append(row.recording_id)
        await self._store.lock_ledgers({*placed, *folders})
        return placed

    async def _candidates(self, uuids: Collection[str]) -> Collection[str]:
        """Recordings of these folders that may not be in sync; nothing is locked."""
        found = await self._connection.scalars(
            text(f"""
                select r.recording_id from ledger l join recording r using (clouds_uuid)
                where l.clouds_uuid = any(:uuids) and {_OUT_OF_SYNC}
            """),  # noqa: S608  # this module's own text
            {"uuids": list(uuids)},
        )
        return list(found)

    async def _out_of_sync(self, placed: Placed) -> Placed:
        """Those of locked recordings that are not in sync."""
        rows = await self._connection.execute(
            text(f"""
                select r.recording_id, r.clouds_uuid from recording r join ledger l using (clouds_uuid)
                where r.recording_id = any(:ids) and {_OUT_OF_SYNC} order by r.recording_id
            """),  # noqa: S608  # this module's own text
            {"ids": [one for ids in placed.values() for one in ids]},
        )
        found: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            found[row.clouds_uuid].append(row.recording_id)
        return found

    async def _number(self, placed: Placed, *, forced: bool) -> None:
        """Give locked recordings new seqs."""
        taken = await self._connection.execute(
            text("""
                update ledger set last_seq = last_seq + u.count
                from unnest(cast(:uuids as text[]), cast(:counts as bigint[])) as u (clouds_uuid, count)
                where ledger.clouds_uuid = u.clouds_uuid
                returning ledger.clouds_uuid, last_seq - u.count + 1 as first_seq
            """),
            {"uuids": list(placed), "counts": [len(ids) for ids in placed.values()]},
        )
        await self._store.number(placed, {row.clouds_uuid: row.first_seq for row in taken}, forced=forced)

    async def _due_now(self, uuids: Collection[str]) -> None:
        await self._connection.execute(
            text("""
                update ledger set due_at = now(), missing = false
                where clouds_uuid = any(:uuids) and cursor < last_seq
            """),
            {"uuids": list(uuids)},
        )
