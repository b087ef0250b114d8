"""The SQL of resyncs: requests to look again, carried out in bounded steps.

Without force only what the cloud refused is made owed again: whatever else is not in sync is owed already. With force
everything selected is: recordings by a forced seq of their own, folders by `forced_until`, and a push that is under way
then cannot move the cursor (the generation has changed). Either way a folder that waits for its next try, or that the
cloud had lost, is tried at once.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketSyncRequested
from services.cloud_updater.ledgers import Ledgers
from services.cloud_updater.predicates import ACKNOWLEDGED_LINK, ACKNOWLEDGED_TRANSFER, STILL_FORCED
from shared import audit

# Rows that one transaction may change, but for a single larger folder.
RECORDINGS_AT_ONCE = 20_000
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
        self._ledgers = Ledgers(connection)

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
            if stored.rowcount:
                await audit.record(
                    self._connection,
                    who=request.requested_by,
                    what="resync_taken_up",
                    subject=request.request_id,
                    detail={"force": request.force, **_selection(request)},
                )
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
        """Make these recordings owed, or those of them that the cloud refused."""
        placed = await self._lock(recording_ids, folders=())
        if force:
            await self._number(placed, forced=True)
        else:
            await self._number(await self._refused(placed), forced=False)
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

    async def push_folders(
        self, request: OpenRequest, *, limit: int, recordings_max: int = RECORDINGS_AT_ONCE
    ) -> str | None:
        """Carry out the request for its next folders: `limit`, or as many as hold `recordings_max`; a larger one alone.

        Returns the last of them, None: there are no more.
        """
        uuids = list(
            await self._connection.scalars(
                text("""
                    select clouds_uuid from (
                        select clouds_uuid, recordings, sum(recordings) over (order by clouds_uuid) as in_all
                        from (
                            select clouds_uuid, (select count(*) from (
                                select from recording r where r.clouds_uuid = l.clouds_uuid limit :recordings_max
                            ) one) as recordings
                            from ledger l
                            where clouds_uuid > :after and (cast(:folder_id as text) is null or folder_id = :folder_id)
                            order by clouds_uuid limit :limit
                        ) counted
                    ) bounded where in_all <= :recordings_max or in_all = recordings order by clouds_uuid
                """),
                {
                    "after": request.after_uuid,
                    "folder_id": request.folder_id,
                    "limit": limit,
                    "recordings_max": recordings_max,
                },
            )
        )
        if not uuids:
            return None
        if request.force:
            await self._force(uuids)
        else:
            placed = await self._lock(await self._refused_in(uuids), folders=uuids)
            await self._number(await self._refused(placed), forced=False)
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
        """The cursors go back, so what they say is first written into the rows."""
        await self._connection.execute(
            text(f"""
                with stale as (
                    select r.recording_id,
                        {ACKNOWLEDGED_TRANSFER} as transfer_version, {ACKNOWLEDGED_LINK} as link_version
                    from recording r join ledger l using (clouds_uuid)
                    where r.clouds_uuid = any(:uuids) and r.link_version > 0
                    order by r.recording_id for update of r
                )
                update recording r set rejected = null,
                    known_transfer_version = stale.transfer_version, known_link_version = stale.link_version
                from stale where r.recording_id = stale.recording_id and (r.rejected is not null
                    or (r.known_transfer_version, r.known_link_version) <> (stale.transfer_version, stale.link_version))
            """),  # noqa: S608  # this module's own text
            {"uuids": list(uuids)},
        )
        await self._ledgers.lock(uuids)
        await self._connection.execute(
            text("""
                update ledger set cursor = 0, announced_cursor = 0, forced_until = last_seq,
                    generation = generation + 1, missing = false, due_at = now()
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
        await self._ledgers.lock({*placed, *folders})
        return placed

    async def _refused_in(self, uuids: Collection[str]) -> Collection[str]:
        """Recordings of these folders that the cloud refuses; nothing is locked."""
        found = await self._connection.scalars(
            text("select recording_id from recording where clouds_uuid = any(:uuids) and rejected is not null"),
            {"uuids": list(uuids)},
        )
        return list(found)

    async def _refused(self, placed: Placed) -> Placed:
        """Those of locked recordings that the cloud refuses."""
        rows = await self._connection.execute(
            text("""
                select recording_id, clouds_uuid from recording
                where recording_id = any(:ids) and rejected is not null order by recording_id
            """),
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
        first_seqs = {row.clouds_uuid: row.first_seq for row in taken}
        numbered = [(one, first_seqs[uuid] + i) for uuid, ids in placed.items() for i, one in enumerate(ids)]
        await self._connection.execute(
            text(f"""
                update recording r set seq = u.seq, rejected = null, forced = :forced or {STILL_FORCED},
                    known_transfer_version = {ACKNOWLEDGED_TRANSFER}, known_link_version = {ACKNOWLEDGED_LINK}
                from unnest(cast(:ids as text[]), cast(:seqs as bigint[])) as u (recording_id, seq), ledger l
                where r.recording_id = u.recording_id and l.clouds_uuid = r.clouds_uuid
            """),  # noqa: S608  # this module's own text
            {"ids": [one for one, _ in numbered], "seqs": [seq for _, seq in numbered], "forced": forced},
        )

    async def _due_now(self, uuids: Collection[str]) -> None:
        await self._connection.execute(
            text("""
                update ledger set due_at = now(), missing = false
                where clouds_uuid = any(:uuids) and cursor < last_seq
            """),
            {"uuids": list(uuids)},
        )


def _selection(request: TicketSyncRequested) -> Mapping[str, object]:
    if request.recording_ids:
        return {"recordings": len(request.recording_ids)}
    return {"folder_id": request.folder_id} if request.folder_id else {"all": True}
