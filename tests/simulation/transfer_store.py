"""The rules of transfer's tables, over the model.

Stands for the SQL of store.py, transfers.py, uploads.py, requests.py, conclusions.py and announce_transfers.py in
services/transfer; tests hold both to the same on PostgreSQL. Each class has the methods of the one it is named after,
so the service's own folds and steps run over it.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingProcessed, RecordingTransferred, TicketLinked
from schemas.fields import CloudsUuid, FolderId, RecordingId
from schemas.topics import RECORDING_TRANSFERRED
from services.transfer.answers import GIVEN_UP_BEGINS, Transferred
from services.transfer.conclusions import Conclusions, End, Verdict
from services.transfer.decisions import KnownRecording, KnownTransfer, Place, Processed, earliest
from services.transfer.lost_folders import Busy, Elsewhere, LostFolders, Unprocessed
from services.transfer.lots import FILENAME_TAKEN, MAX_BODY_BYTES, MAX_FILES, FrozenFile, Ready, Rest
from services.transfer.requests import OpenRequest, Requests
from services.transfer.store import Store
from services.transfer.transfers import TransferRow, Transfers
from services.transfer.uploads import SHORTEST_WAIT_S, Folder, Uploads
from shared.facts import as_record
from shared.own_records import Skimmed
from shared.producer import Outgoing
from tests.simulation.database import Tables, now_of, tables_of

_NEVER = datetime.min.replace(tzinfo=UTC)


class Recording(NamedTuple):
    """A row of `recording`; the columns of the fact stand in `fact`."""

    fact: RecordingProcessed
    content_hash: bytes
    folded_at: datetime
    wanted_version: int
    waiting: bool
    rejected: str | None = None

    @property
    def rank(self) -> tuple[int, datetime, bytes]:
        """The greatest is the newest."""
        return self.fact.revision, self.fact.processed_at, self.content_hash


class FolderRow(NamedTuple):
    """A row of `folder`."""

    folder_id: str
    clouds_uuid: str | None = None
    uuid_since: datetime | None = None
    due_at: datetime | None = None
    retry_at: datetime | None = None
    lease_token: UUID | None = None
    lease_until: datetime | None = None
    attempts: int = 0
    last_error: str | None = None
    held: str | None = None
    max_files: int | None = None

    @property
    def place(self) -> CloudsUuid | None:
        """Where it is in the cloud."""
        return CloudsUuid(self.clouds_uuid) if self.clouds_uuid else None

    @property
    def next_at(self) -> datetime:
        """uploads._NEXT."""
        return max(self.due_at or _NEVER, self.retry_at or _NEVER, self.lease_until or _NEVER)

    @property
    def is_looked_at(self) -> bool:
        """uploads._LOOKED_AT."""
        return self.due_at is not None and self.held is None


class TransferTables(Tables):
    """services/transfer/tables.py. A frozen file goes with its request, so it stands in it."""

    def __init__(self, made_at: datetime) -> None:
        super().__init__(made_at)
        self.recording: dict[str, Recording] = {}
        self.ticket: dict[str, tuple[int, dict[str, Any] | None]] = {}
        self.transfer: dict[str, TransferRow] = {}
        self.unheard_transfer: dict[str, int] = {}
        self.folder: dict[str, FolderRow] = {}
        self.upload_request: dict[UUID, OpenRequest] = {}

    def free_leases(self, now: datetime) -> None:
        super().free_leases(now)
        for folder_id, row in self.folder.items():
            if row.lease_until and row.lease_until > now:
                self.folder[folder_id] = row._replace(lease_until=now)

    @property
    def frozen(self) -> dict[str, OpenRequest]:
        """By recording, the open request that it is in."""
        return {file.recording_id: one for one in self.upload_request.values() for file in one.files}

    def version(self, recording_id: str) -> int:
        """Of its transfer; 0 for none."""
        row = self.transfer.get(recording_id)
        return row.transfer_version if row else 0

    def to_upload(self, folder_id: str) -> list[Recording]:
        """uploads._TO_UPLOAD, in the order of processing."""
        frozen = self.frozen
        rows = [
            one
            for one in self.recording.values()
            if one.fact.folder_id == folder_id
            and one.waiting
            and self.version(one.fact.recording_id) < one.wanted_version
            and one.fact.recording_id not in frozen
        ]
        return sorted(rows, key=lambda one: (one.fact.processed_at, one.fact.recording_id))

    def has_ticket(self, recording_id: str) -> bool:
        """Its newest link has a ticket."""
        return self.ticket.get(recording_id, (0, None))[1] is not None


def _tables(connection: AsyncConnection) -> TransferTables:
    return tables_of(connection, TransferTables)


class StoreModel(Store):
    """services.transfer.store.Store."""

    async def now(self) -> datetime:
        return now_of(self._connection)

    async def look_at(self, folders: Mapping[FolderId, datetime | None]) -> None:
        rows = _tables(self._connection).folder
        for folder_id, due_at in folders.items():
            row = rows.get(folder_id, FolderRow(folder_id))
            rows[folder_id] = row._replace(due_at=earliest(row.due_at, due_at))

    async def known_recordings(self, recording_ids: Collection[RecordingId]) -> dict[RecordingId, KnownRecording]:
        rows = _tables(self._connection).recording
        return {
            one: KnownRecording(rows[one].rank, rows[one].fact.folder_id, rows[one].folded_at)
            for one in recording_ids
            if one in rows
        }

    async def with_ticket(self, recording_ids: Collection[RecordingId]) -> frozenset[RecordingId]:
        tables = _tables(self._connection)
        return frozenset(one for one in recording_ids if tables.has_ticket(one))

    async def put_recordings(self, news: Sequence[Processed]) -> None:
        tables, now = _tables(self._connection), now_of(self._connection)
        for one in news:
            recording_id = one.fact.recording_id
            row = tables.recording.get(recording_id)
            if row is None:
                new = Recording(one.fact, one.content_hash, now, 1, recording_id not in tables.transfer)
                tables.recording[recording_id] = new
            elif one.rank > row.rank:
                given_up = row.rejected if (row.rejected or "").startswith(GIVEN_UP_BEGINS) else None
                waits = row.waiting or (row.rejected is not None and not given_up)
                tables.recording[recording_id] = row._replace(
                    fact=one.fact, content_hash=one.content_hash, waiting=waits, rejected=given_up
                )

    async def link_versions(self, recording_ids: Collection[RecordingId]) -> dict[RecordingId, int]:
        rows = _tables(self._connection).ticket
        return {one: rows[one][0] for one in recording_ids if one in rows}

    async def put_tickets(self, links: Sequence[TicketLinked]) -> None:
        rows = _tables(self._connection).ticket
        for link in links:
            info = link.ticket_info.model_dump(mode="json") if link.ticket_info else None
            if link.link_version > rows.get(link.recording_id, (0, None))[0]:
                rows[link.recording_id] = (link.link_version, info)

    async def folders_not_uploaded(self, recording_ids: Collection[RecordingId]) -> frozenset[FolderId]:
        rows = _tables(self._connection).recording
        known = [rows[one] for one in recording_ids if one in rows]
        return frozenset(one.fact.folder_id for one in known if one.waiting or one.rejected is not None)

    async def try_again(self, recording_ids: Collection[RecordingId]) -> None:
        rows = _tables(self._connection).recording
        for one in recording_ids & rows.keys():
            why = rows[one].rejected
            if why is not None and not why.startswith(GIVEN_UP_BEGINS) and why != FILENAME_TAKEN:
                rows[one] = rows[one]._replace(waiting=True, rejected=None)


class TransfersModel(Transfers):
    """services.transfer.transfers.Transfers."""

    async def known(self, recording_ids: Collection[RecordingId]) -> dict[RecordingId, KnownTransfer]:
        tables = _tables(self._connection)
        frozen = tables.frozen
        found = {}
        for one in recording_ids:
            transfer, recording, request = tables.transfer.get(one), tables.recording.get(one), frozen.get(one)
            folders = [one.folder_id for one in (transfer, recording and recording.fact, request) if one]
            found[one] = KnownTransfer(
                transfer.transfer_version if transfer else 0,
                transfer is not None and one not in tables.unheard_transfer,
                frozenset(FolderId(folder) for folder in folders),
            )
        return found

    async def hear_newest(self, versions: Collection[tuple[RecordingId, int]]) -> bool:
        tables = _tables(self._connection)
        are_all = all(one in tables.transfer and tables.version(one) == version for one, version in versions)
        if are_all:
            for one, version in versions:
                if tables.unheard_transfer.get(one, version + 1) <= version:
                    del tables.unheard_transfer[one]
        return are_all

    async def put(self, transfers: Sequence[TransferRow]) -> None:
        tables = _tables(self._connection)
        for one in transfers:
            if one.transfer_version > tables.version(one.recording_id):
                tables.transfer[one.recording_id] = one
                tables.unheard_transfer[one.recording_id] = one.transfer_version
            recording = tables.recording.get(one.recording_id)
            if recording and recording.wanted_version <= one.transfer_version:
                tables.recording[one.recording_id] = recording._replace(waiting=False, rejected=None)

    async def places(self, folder_ids: Collection[FolderId]) -> dict[FolderId, Place]:
        rows = _tables(self._connection).folder
        known = {one: rows[one] for one in folder_ids if one in rows}
        return {one: Place(row.place, row.uuid_since) for one, row in known.items()}

    async def place(self, places: Mapping[FolderId, Place]) -> None:
        rows = _tables(self._connection).folder
        for one, place in places.items():
            rows[one] = rows[one]._replace(clouds_uuid=place.clouds_uuid, uuid_since=place.since)

    async def hear(self, versions: Mapping[RecordingId, int]) -> None:
        tables = _tables(self._connection)
        for one in versions.keys() & tables.transfer.keys():
            if versions[one] == tables.version(one):
                tables.unheard_transfer.pop(one, None)
            else:
                tables.unheard_transfer.setdefault(one, tables.version(one))

    async def lock(self, recording_ids: Collection[RecordingId]) -> None:
        """One transaction at a time: nothing to lock."""

    async def close_proven_requests(self, recording_ids: Collection[RecordingId]) -> int:
        tables, now = _tables(self._connection), now_of(self._connection)
        touched = {one.id: one for recording_id, one in tables.frozen.items() if recording_id in recording_ids}
        closed = 0
        for one in touched.values():
            if all(tables.version(file.recording_id) >= file.transfer_version for file in one.files):
                del tables.upload_request[one.id]
                tables.folder[one.folder_id] = tables.folder[one.folder_id]._replace(
                    held=None,
                    due_at=now,
                    retry_at=None,
                    lease_token=None,
                    lease_until=None,
                    attempts=0,
                    last_error=None,
                )
                closed += 1
        return closed


class UploadsModel(Uploads):
    """services.transfer.uploads.Uploads."""

    async def claim(self, limit: int) -> list[Folder]:
        now = now_of(self._connection)
        due = [one for one in _tables(self._connection).folder.values() if one.is_looked_at and one.next_at <= now]
        return [
            Folder(
                FolderId(row.folder_id),
                row.place,
                row.uuid_since is not None,
                any(one.folder_id == row.folder_id for one in _tables(self._connection).upload_request.values()),
                row.attempts,
                row.last_error,
                row.max_files or MAX_FILES,
                now,
            )
            for row in sorted(due, key=lambda one: one.next_at)[:limit]
        ]

    async def next_due_s(self) -> float | None:
        planned = [one.next_at for one in _tables(self._connection).folder.values() if one.is_looked_at]
        now = now_of(self._connection)
        return max((min(planned) - now).total_seconds(), SHORTEST_WAIT_S) if planned else None

    async def ready(self, folders: Sequence[Folder], *, grace: timedelta) -> dict[FolderId, list[Ready]]:
        ready = {one.folder_id: self._ready(one, grace) for one in folders}
        return {folder_id: of_folder for folder_id, of_folder in ready.items() if of_folder}

    def _ready(self, folder: Folder, grace: timedelta) -> list[Ready]:
        tables = _tables(self._connection)
        ready: list[Ready] = []
        bytes_before = 0
        for row in tables.to_upload(folder.folder_id):
            fact = row.fact
            may_go = not fact.requires_ticket or row.folded_at <= folder.now - grace
            if not may_go and not tables.has_ticket(fact.recording_id):
                continue
            if len(ready) == folder.max_files or bytes_before > MAX_BODY_BYTES:
                break
            link_version, ticket = tables.ticket.get(fact.recording_id, (0, None))
            version = tables.version(fact.recording_id) + 1
            ready.append(
                Ready(
                    fact.recording_id,
                    fact.folder_name,
                    fact.filename,
                    fact.size_bytes,
                    fact.token,
                    fact.transcript,
                    version,
                    link_version,
                    ticket,
                    row.content_hash,
                )
            )
            bytes_before += len(fact.transcript.encode())
        return ready

    async def taken_names(self, names: Collection[tuple[FolderId, str]]) -> dict[FolderId, dict[str, RecordingId]]:
        taken: dict[FolderId, dict[str, RecordingId]] = {}
        for one in sorted(_tables(self._connection).transfer.values(), key=lambda one: one.recording_id, reverse=True):
            folder_id = FolderId(one.folder_id)
            if (folder_id, one.filename) in names:
                taken.setdefault(folder_id, {})[one.filename] = RecordingId(one.recording_id)
        return taken

    async def rest(self, folder_ids: Collection[FolderId]) -> dict[FolderId, Rest]:
        return {one: self._rest(one) for one in folder_ids}

    def _rest(self, folder_id: FolderId) -> Rest:
        tables = _tables(self._connection)
        waiting = tables.to_upload(folder_id)
        frozen = tables.frozen
        elsewhere = any(
            one.fact.folder_id == folder_id and one.waiting and one.fact.recording_id in frozen
            for one in tables.recording.values()
        )
        return Rest(min((one.folded_at for one in waiting), default=None), elsewhere)

    async def reject(self, messages: Mapping[RecordingId, str], *, sent: Collection[FrozenFile] = ()) -> None:
        tables = _tables(self._connection)
        rows = tables.recording
        sent_as = {one.recording_id: (one.content_hash, one.link_version) for one in sent}
        for one, message in messages.items():
            if one not in rows or not rows[one].waiting:
                continue
            present = (rows[one].content_hash, tables.ticket.get(one, (0, None))[0])
            if sent_as.get(one, present) == present:
                rows[one] = rows[one]._replace(waiting=False, rejected=message)

    async def look_again(self, looks: Mapping[FolderId, datetime | None]) -> None:
        rows = _tables(self._connection).folder
        for one, due_at in looks.items():
            attempts = 0 if due_at is None else rows[one].attempts
            rows[one] = rows[one]._replace(due_at=due_at, retry_at=None, attempts=attempts)

    async def lease(self, folder_ids: Collection[FolderId], token: UUID, *, lease_s: float) -> None:
        rows = _tables(self._connection).folder
        until = now_of(self._connection) + timedelta(seconds=lease_s)
        for one in folder_ids:
            rows[one] = rows[one]._replace(lease_token=token, lease_until=until)


class RequestsModel(Requests):
    """services.transfer.requests.Requests."""

    async def of(self, folder_ids: Collection[FolderId]) -> dict[FolderId, OpenRequest]:
        rows = _tables(self._connection).upload_request.values()
        return {one.folder_id: replace(one, repeated=True) for one in rows if one.folder_id in folder_ids}

    async def freeze(self, requests: Sequence[OpenRequest]) -> None:
        tables = _tables(self._connection)
        for request in requests:
            assert not {one.recording_id for one in request.files} & tables.frozen.keys(), "frozen_file_pkey"
            assert all(one.folder_id != request.folder_id for one in tables.upload_request.values()), "one open request"
            tables.upload_request[request.id] = request

    async def send_again(self, request: OpenRequest) -> None:
        """The attempts are only shown."""

    async def close(self, requests: Collection[OpenRequest]) -> None:
        for one in requests:
            _tables(self._connection).upload_request.pop(one.id, None)


class ConclusionsModel(Conclusions):
    """services.transfer.conclusions.Conclusions; what a conclusion leads to is its own `record`."""

    async def lock(self, folder_ids: Collection[FolderId]) -> None:
        """One transaction at a time: nobody has locked any."""

    async def leases(self, folder_ids: Collection[FolderId]) -> dict[FolderId, UUID | None]:
        rows = _tables(self._connection).folder
        return {one: rows[one].lease_token for one in folder_ids if one in rows}

    async def may_record(
        self, verdicts: Sequence[tuple[Verdict, UUID]], leases: Mapping[FolderId, UUID | None]
    ) -> list[Verdict]:
        still_open = _tables(self._connection).upload_request

        def may(one: Verdict, token: UUID) -> bool:
            lease = leases.get(one.request.folder_id)
            is_ours = lease == token or (lease is None and isinstance(one.conclusion, Transferred))
            return is_ours and one.request.id in still_open

        return [one for one, token in verdicts if may(one, token)]

    async def _place(self, uuids: Mapping[FolderId, CloudsUuid]) -> dict[FolderId, datetime]:
        rows, now = _tables(self._connection).folder, now_of(self._connection)
        since = {one: rows[one].uuid_since for one in uuids}
        moments = {one: max(now, then + timedelta(microseconds=1)) if then else now for one, then in since.items()}
        for one, clouds_uuid in uuids.items():
            rows[one] = rows[one]._replace(clouds_uuid=clouds_uuid, uuid_since=moments[one])
        return moments

    async def _settle(self, ends: Sequence[End]) -> None:
        tables, now = _tables(self._connection), now_of(self._connection)
        rows = tables.folder
        waiting = {one.fact.folder_id for one in tables.recording.values() if one.waiting}
        for end in ends:
            row = rows[end.folder_id]
            rows[end.folder_id] = row._replace(
                lease_token=None,
                lease_until=None,
                due_at=None if end.done and end.folder_id not in waiting else now,
                retry_at=now + timedelta(seconds=end.wait_s) if end.wait_s else None,
                attempts=row.attempts + 1 if end.failed else 0,
                last_error=end.message,
                held=end.held,
                max_files=None if end.max_files >= MAX_FILES else end.max_files,
            )

    async def retry_now(self) -> None:
        rows, now = _tables(self._connection).folder, now_of(self._connection)
        for folder_id, row in rows.items():
            if row.retry_at and row.retry_at > now and row.due_at and not row.held:
                rows[folder_id] = row._replace(retry_at=None)

    async def held_request(self, folder_id: FolderId) -> OpenRequest | None:
        row = _tables(self._connection).folder.get(folder_id)
        return (await self._requests.of([folder_id])).get(folder_id) if row and row.held == "outcome_unknown" else None


class LostFoldersModel(LostFolders):
    """services.transfer.lost_folders.LostFolders."""

    async def upload_again(self, folder_id: FolderId, *, lost: CloudsUuid) -> int | Elsewhere | Busy | Unprocessed:
        tables, now = _tables(self._connection), now_of(self._connection)
        gone = [one for one in tables.transfer.values() if one.folder_id == folder_id]
        present = {
            tables.recording[one.recording_id].fact.folder_id for one in gone if one.recording_id in tables.recording
        }
        await StoreModel(self._connection).look_at(dict.fromkeys({folder_id, *present}, now))
        row = tables.folder[folder_id]
        if row.clouds_uuid != lost:
            return Elsewhere(row.place)
        if any(one.folder_id == folder_id for one in tables.upload_request.values()):
            return Busy()
        unprocessed = sorted(one.recording_id for one in gone if one.recording_id not in tables.recording)
        if unprocessed:
            return Unprocessed(len(unprocessed), RecordingId(unprocessed[0]))
        tables.folder[folder_id] = row._replace(
            clouds_uuid=None,
            uuid_since=max(now, row.uuid_since or now),
            held=None,
            retry_at=None,
            attempts=0,
            last_error=None,
        )
        for one in gone:
            tables.recording[one.recording_id] = tables.recording[one.recording_id]._replace(
                wanted_version=one.transfer_version + 1, waiting=True, rejected=None
            )
        return len(gone)


async def unheard(connection: AsyncConnection, limit: int) -> Mapping[str, object]:
    """services.transfer.announce_transfers.unheard."""
    tables = _tables(connection)
    rows = sorted(tables.unheard_transfer, key=lambda one: (tables.transfer[one].folder_id, one))
    return {one: tables.unheard_transfer[one] for one in rows[:limit]}


async def forget_heard(connection: AsyncConnection) -> None:
    """services.transfer.announce_transfers.forget_heard."""
    tables = _tables(connection)
    for one, row in tables.transfer.items():
        tables.unheard_transfer.setdefault(one, row.transfer_version)


async def facts(connection: AsyncConnection, recording_ids: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
    """services.transfer.announce_transfers.facts."""
    rows = [one for one in _tables(connection).transfer.values() if one.recording_id in recording_ids]
    rows.sort(key=lambda one: (one.folder_id, one.recording_id))
    return {one.recording_id: (one.transfer_version, _record_of(one)) for one in rows}


def _record_of(row: TransferRow) -> Outgoing:
    fact = RecordingTransferred.model_validate({**row._asdict(), "file": row._asdict()})
    return as_record(
        RECORDING_TRANSFERRED,
        fact,
        key=row.recording_id,
        version=str(row.transfer_version),
        source="transfer",
        time=row.transferred_at,
        says=Skimmed(row.recording_id, (row.transfer_version,), ""),
    )
