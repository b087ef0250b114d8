"""The SQL of resyncs: requests to look again, carried out in bounded steps.

Without force only what the cloud refused is made owed again: whatever else is not in sync is owed already. With force
everything selected is: recordings by a forced seq of their own, folders by `forced_until`, and a push that is under way
then cannot move the cursor (the generation has changed). Either way a folder that waits for its next try, or that the
cloud had lost, is tried at once.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.decisions import OpenRequest
from services.cloud_updater.ledgers import Ledgers
from services.cloud_updater.predicates import ACKNOWLEDGED_LINK, ACKNOWLEDGED_TRANSFER, STILL_FORCED
from shared.sql import text

# By folder in the cloud, recordings.
Placed = Mapping[str, Sequence[str]]


class Resyncs:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._ledgers = Ledgers(connection)

    async def push(self, request: OpenRequest, uuids: Sequence[str]) -> None:
        """Make owed what the request selects in these folders."""
        if request.recording_ids is not None:
            await self._push_recordings(await self._selected_in(uuids, request.recording_ids), force=request.force)
        elif request.force:
            await self._force(uuids)
        else:
            placed = await self._lock(await self._refused_in(uuids), folders=uuids)
            await self._number(await self._refused(placed), forced=False)
            await self._due_now(uuids)

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

    async def _push_recordings(self, recording_ids: Collection[str], *, force: bool) -> None:
        """Make these recordings owed, or those of them that the cloud refused."""
        placed = await self._lock(recording_ids, folders=())
        if force:
            await self._number(placed, forced=True)
        else:
            await self._number(await self._refused(placed), forced=False)
        await self._due_now(placed)

    async def _selected_in(self, uuids: Sequence[str], recording_ids: Collection[str]) -> Collection[str]:
        """Those of the recordings that lie in these folders; nothing is locked."""
        found = await self._connection.scalars(
            text("select recording_id from recording where recording_id = any(:ids) and clouds_uuid = any(:uuids)"),
            {"ids": list(recording_ids), "uuids": list(uuids)},
        )
        return list(found)

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
