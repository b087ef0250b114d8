"""The rules of resync requests and of what they select, over the model of cloud_updater's tables.

Stands for the SQL of resync_requests.py and seen_resyncs.py in services/cloud_updater, as far as its loops use it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketSyncRequested
from services.cloud_updater.decisions import OpenRequest, Selection, Share
from services.cloud_updater.resync_requests import ResyncRequests
from services.cloud_updater.seen_resyncs import ResyncsSeen
from tests.simulation.database import now_of, tables_of
from tests.simulation.updater_store import Ledger, Recording, SyncRequest, UpdaterTables, behind, owed


def _tables(connection: AsyncConnection) -> UpdaterTables:
    return tables_of(connection, UpdaterTables)


def owed_after_resync(row: Recording, ledger: Ledger, *, force: bool) -> bool:
    """predicates.OWED_AFTER_RESYNC."""
    sendable = row.link_version > 0 and row.known <= row.wanted
    return sendable and (force or (row.rejected is not None and behind(row)) or owed(row, ledger))


class ResyncRequestsModel(ResyncRequests):
    """services.cloud_updater.resync_requests.ResyncRequests, without what people do to a request."""

    async def receive(self, requests: Iterable[tuple[TicketSyncRequested, datetime]]) -> int:
        tables, now = _tables(self._connection), now_of(self._connection)
        before = len(tables.sync_request)
        for request, asked_at in requests:
            if tables.origin["created_at"] <= asked_at:
                row = SyncRequest(
                    request.request_id,
                    request.force,
                    request.recording_ids,
                    request.folder_id,
                    request.rate_per_minute,
                    now,
                )
                tables.sync_request.setdefault(request.request_id, row)
        return len(tables.sync_request) - before

    async def next_open(self) -> OpenRequest | None:
        now = now_of(self._connection)
        rows = sorted(
            (one.next_at is not None, one.next_at or now, one.received_at, one.request_id, one)
            for one in _tables(self._connection).sync_request.values()
            if not one.done_at and (one.next_at is None or one.next_at <= now)
        )
        if not rows:
            return None
        one = rows[0][-1]
        return OpenRequest(
            force=one.force,
            recording_ids=one.recording_ids,
            folder_id=one.folder_id,
            request_id=one.request_id,
            after_uuid=one.after_uuid,
            rate_per_minute=one.rate_per_minute,
            turn_at=one.made_owed_at or one.received_at,
        )

    async def progress(self, request: OpenRequest, *, after_uuid: str, made_owed: int, wait_s: float) -> None:
        now = now_of(self._connection)
        next_at = now + timedelta(seconds=wait_s) if wait_s > 0 else None
        self._put(request, after_uuid=after_uuid, next_at=next_at)
        if made_owed > 0:
            self._put(request, made_owed_at=now)

    async def wait(self, request: OpenRequest, *, wait_s: float) -> None:
        self._put(request, next_at=now_of(self._connection) + timedelta(seconds=wait_s))

    async def finish(self, request: OpenRequest) -> None:
        self._put(request, done_at=now_of(self._connection), next_at=None)

    def _put(self, request: OpenRequest, **changes: object) -> None:
        requests = _tables(self._connection).sync_request
        requests[request.request_id] = requests[request.request_id]._replace(**changes)  # type: ignore[arg-type]


class ResyncsSeenModel(ResyncsSeen):
    """services.cloud_updater.seen_resyncs.ResyncsSeen."""

    async def shares(
        self, selection: Selection, *, after: str = "", limit: int | None = None, shut: bool = False
    ) -> Sequence[Share]:
        tables = _tables(self._connection)
        found = []
        for uuid, ledger in sorted(tables.ledger.items()):
            ids = selection.recording_ids
            rows = [one for one in tables.of_folder(uuid) if ids is None or one.recording_id in ids]
            if uuid <= after or selection.folder_id not in {None, ledger.folder_id} or (ids is not None and not rows):
                continue
            to_push = [one for one in rows if owed_after_resync(one, ledger, force=selection.force)]
            stuck = [one for one in to_push if one.rejected or ledger.missing or ledger.attempts > 0 or shut]
            no_ticket = [one for one in rows if one.link_version == 0]
            found.append(Share(uuid, len(rows), len(no_ticket), len(to_push), len(stuck)))
        return found[:limit]

    async def due_folders(self, *, limit: int) -> int:
        return min(limit, sum(1 for one in _tables(self._connection).ledger.values() if one.due_at))

    async def backlog(self, turn_at: datetime) -> bool:
        now = now_of(self._connection)
        ledgers = _tables(self._connection).ledger.values()
        return any(
            one.due_at is not None
            and one.due_at <= turn_at
            and not one.missing
            and (one.lease_until is None or one.lease_until < now)
            for one in ledgers
        )
