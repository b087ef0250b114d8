"""The rules of what becomes of a push, and of what a resync makes owed, over the model of cloud_updater's tables.

Stands for the SQL of pushes.py and resyncs.py in services/cloud_updater; see updater_store.py.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.claims import Claimed
from services.cloud_updater.decisions import MAX_FILES
from services.cloud_updater.pushes import LeaseLost, Pushes
from services.cloud_updater.resyncs import Placed, Resyncs
from tests.simulation.database import now_of, tables_of
from tests.simulation.updater_store import Ledger, UpdaterTables, still_forced, with_known


def _tables(connection: AsyncConnection) -> UpdaterTables:
    return tables_of(connection, UpdaterTables)


class PushesModel(Pushes):
    """services.cloud_updater.pushes.Pushes."""

    async def lock(self, uuid: str) -> None:
        """One transaction at a time: nobody has locked any."""

    async def acknowledged(self, claimed: Sequence[Claimed], *, quiet_s: float) -> frozenset[str]:
        tables, now = _tables(self._connection), now_of(self._connection)
        found = set()
        for one in claimed:
            row = tables.ledger.get(one.clouds_uuid)
            if row is None or row.lease_token != one.token:
                continue
            found.add(one.clouds_uuid)
            set_back, more = row.generation != one.generation, row.last_seq > one.up_to_seq
            at_once = set_back or row.last_seq - one.up_to_seq >= one.full_at
            quiet_at = row.changed_at + timedelta(seconds=quiet_s) if row.changed_at else now
            batch_limit = None if row.batch_limit is None else min(row.batch_limit * 2, MAX_FILES)
            tables.ledger[one.clouds_uuid] = row._replace(
                cursor=row.cursor if set_back else max(row.cursor, one.up_to_seq),
                due_at=now if at_once else max(now, quiet_at) if more else None,
                owed_since=now if set_back or more else None,
                lease_token=None,
                lease_until=None,
                attempts=0,
                last_error=None,
                batch_limit=None if batch_limit == MAX_FILES else batch_limit,
                pushed_at=now if one.files else row.pushed_at,
            )
        return frozenset(found)

    async def arrived(self, claimed: Claimed) -> None:
        row = _tables(self._connection).ledger.get(claimed.clouds_uuid)
        if row and (row.lease_token, row.generation) == (claimed.token, claimed.generation):
            _tables(self._connection).ledger[row.clouds_uuid] = row._replace(
                cursor=max(row.cursor, claimed.up_to_seq), pushed_at=now_of(self._connection), attempts=0
            )

    async def failed(self, claimed: Claimed, *, wait_s: float, message: str) -> None:
        row = self._leased(claimed)
        due_at = now_of(self._connection) + timedelta(seconds=wait_s)
        self._put(row, due_at=due_at, attempts=row.attempts + 1, last_error=message)

    async def narrowed(self, claimed: Claimed, *, batch_limit: int | None, message: str | None) -> None:
        row = self._leased(claimed)
        now = now_of(self._connection)
        self._put(row, due_at=now, last_error=message, batch_limit=batch_limit or row.batch_limit)

    async def missing(self, claimed: Claimed, *, message: str) -> None:
        row = self._leased(claimed)
        self._put(row, missing=True, due_at=None, attempts=row.attempts + 1, last_error=message)

    async def reject(self, claimed: Claimed, messages: Mapping[int, str]) -> None:
        rows = _tables(self._connection).recording
        for place, message in messages.items():
            file = claimed.files[place]
            row = rows.get(file.recording_id)
            if row and row.clouds_uuid == claimed.clouds_uuid and row.seq == file.seq:
                rows[file.recording_id] = row._replace(rejected=message)

    async def retry_now(self) -> None:
        tables, now = _tables(self._connection), now_of(self._connection)
        for uuid, row in tables.ledger.items():
            if row.attempts > 0 and row.due_at and row.due_at > now and row.lease_token is None:
                tables.ledger[uuid] = row._replace(due_at=now)

    def _leased(self, claimed: Claimed) -> Ledger:
        row = _tables(self._connection).ledger.get(claimed.clouds_uuid)
        if row is None or row.lease_token != claimed.token:
            raise LeaseLost
        return row

    def _put(self, row: Ledger, **changes: object) -> None:
        ended = row._replace(lease_token=None, lease_until=None)
        _tables(self._connection).ledger[row.clouds_uuid] = ended._replace(**changes)  # type: ignore[arg-type]


class ResyncsModel(Resyncs):
    """services.cloud_updater.resyncs.Resyncs."""

    async def push_again(self, recording_ids: Collection[str]) -> None:
        placed = await self._lock(recording_ids, folders=())
        await self._number(placed, forced=True)
        ledgers, now = _tables(self._connection).ledger, now_of(self._connection)
        for uuid in placed:
            row = ledgers[uuid]
            if not row.missing and (row.attempts == 0 or row.due_at is None):
                ledgers[uuid] = row._replace(due_at=now)

    async def _selected_in(self, uuids: Sequence[str], recording_ids: Collection[str]) -> Collection[str]:
        rows = _tables(self._connection).recording
        return [one for one in recording_ids if one in rows and rows[one].clouds_uuid in uuids]

    async def _force(self, uuids: Collection[str]) -> None:
        tables, now = _tables(self._connection), now_of(self._connection)
        for uuid in uuids:
            ledger = tables.ledger[uuid]
            for row in tables.of_folder(uuid):
                if row.link_version > 0:
                    tables.recording[row.recording_id] = with_known(row, ledger)._replace(rejected=None)
            tables.ledger[uuid] = ledger._replace(
                cursor=0,
                announced_cursor=0,
                forced_until=ledger.last_seq,
                generation=ledger.generation + 1,
                missing=False,
                due_at=now,
            )

    async def _lock(self, recording_ids: Collection[str], *, folders: Collection[str]) -> Placed:  # noqa: ARG002
        rows = _tables(self._connection).recording
        placed: dict[str, list[str]] = defaultdict(list)
        for one in sorted(set(recording_ids) & rows.keys()):
            row = rows[one]
            if row.clouds_uuid is not None and row.link_version > 0:
                placed[row.clouds_uuid].append(one)
        return placed

    async def _refused_in(self, uuids: Collection[str]) -> Collection[str]:
        rows = _tables(self._connection).recording.values()
        return [one.recording_id for one in rows if one.clouds_uuid in uuids and one.rejected is not None]

    async def _refused(self, placed: Placed) -> Placed:
        rows = _tables(self._connection).recording
        refused = {uuid: [one for one in ids if rows[one].rejected is not None] for uuid, ids in placed.items()}
        return {uuid: ids for uuid, ids in refused.items() if ids}

    async def _number(self, placed: Placed, *, forced: bool) -> None:
        tables = _tables(self._connection)
        for uuid, ids in placed.items():
            ledger = tables.ledger[uuid]
            raised = ledger._replace(last_seq=ledger.last_seq + len(ids))
            tables.ledger[uuid] = raised
            for place, one in enumerate(ids):
                row = tables.recording[one]
                tables.recording[one] = with_known(row, raised)._replace(
                    seq=ledger.last_seq + 1 + place, rejected=None, forced=forced or still_forced(row, raised)
                )

    async def _due_now(self, uuids: Collection[str]) -> None:
        ledgers, now = _tables(self._connection).ledger, now_of(self._connection)
        for uuid in uuids:
            row = ledgers[uuid]
            if row.cursor < row.last_seq:
                ledgers[uuid] = row._replace(due_at=now, missing=False)
