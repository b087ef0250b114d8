"""The SQL of resyncs: requests to look again, carried out in bounded steps.

Without force a folder's cursor is set back, so that whatever is not in sync is found again, and what the cloud refused
gets a new chance. With force everything selected is owed: recordings by a forced seq of their own, folders by
`forced_until`.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketSyncRequested
from services.cloud_updater.store import Store


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

    async def receive(self, requests: Iterable[TicketSyncRequested]) -> int:
        """Store requests that are new and not older than this database; returns how many were."""
        new = 0
        for request in requests:
            stored = await self._connection.execute(
                text("""
                    insert into sync_request (request_id, requested_at, requested_by, force, recording_ids, folder_id,
                                              received_at, after_uuid)
                    select :request_id, :requested_at, :requested_by, :force, cast(:recording_ids as text[]), :folder_id,
                           now(), ''
                    from origin where created_at <= :requested_at
                    on conflict do nothing
                """),
                {
                    "request_id": request.request_id,
                    "requested_at": request.requested_at,
                    "requested_by": request.requested_by,
                    "force": request.force,
                    "recording_ids": list(request.recording_ids) if request.recording_ids else None,
                    "folder_id": request.folder_id,
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
        """Give these recordings new seqs, due at once; those that are not in the cloud have nothing to push."""
        store = Store(self._connection)
        rows = await self._connection.execute(
            text("""
                select recording_id, clouds_uuid from recording
                where recording_id = any(:ids) and clouds_uuid is not null order by recording_id for update
            """),
            {"ids": list(recording_ids)},
        )
        placed: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            placed[row.clouds_uuid].append(row.recording_id)
        await store.lock_ledgers(placed)
        taken = await self._connection.execute(
            text("""
                update ledger set last_seq = last_seq + u.count, due_at = now(), missing = false
                from unnest(cast(:uuids as text[]), cast(:counts as bigint[])) as u (clouds_uuid, count)
                where ledger.clouds_uuid = u.clouds_uuid
                returning ledger.clouds_uuid, last_seq - u.count + 1 as first_seq
            """),
            {"uuids": list(placed), "counts": [len(ids) for ids in placed.values()]},
        )
        await store.number(placed, {row.clouds_uuid: row.first_seq for row in taken}, forced=force)

    async def push_folders(self, request: OpenRequest, *, limit: int) -> str | None:
        """Set back the cursors of the next `limit` folders of the request. Returns the last of them, None: no more."""
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
        await self._connection.execute(
            text("""
                update recording set rejected = null where recording_id in (
                    select recording_id from recording where clouds_uuid = any(:uuids) and rejected is not null
                    order by recording_id for update)
            """),
            {"uuids": uuids},
        )
        await Store(self._connection).lock_ledgers(uuids)
        await self._connection.execute(
            text("""
                update ledger set cursor = 0, heard_cursor = 0, generation = generation + 1, missing = false, due_at = now(),
                    forced_until = case when :force then last_seq else forced_until end
                where clouds_uuid = any(:uuids)
            """),
            {"uuids": uuids, "force": request.force},
        )
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
