"""The SQL of what becomes of a request and its folder: after an answer of the cloud, or on an operator's word.

Each call is one transaction's part; the caller holds the folder. A request is closed by deleting it: its recordings are
free at that moment, either because they are transferred or for a new request.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingTransferred
from schemas.fields import CloudsUuid, FolderId, RecordingId
from services.transfer.answers import (
    Conclusion,
    FolderMissing,
    HoldRequest,
    Narrow,
    Release,
    Repeat,
    Transferred,
)
from services.transfer.decisions import Place
from services.transfer.lots import MAX_FILES
from services.transfer.requests import OpenRequest, Requests
from services.transfer.store import Store
from services.transfer.transfers import Transfers
from services.transfer.upload_body import files_in
from services.transfer.uploads import Uploads
from shared.sql import text


@dataclass(frozen=True)
class Elsewhere:
    """The folder is not in the cloud as what is called lost; `present`: as what it is, None if it is not there."""

    present: CloudsUuid | None


@dataclass(frozen=True)
class Busy:
    """A request of the folder is open, and may have its effect yet."""


@dataclass(frozen=True)
class Unprocessed:
    """So many recordings of the folder were adopted, and no RecordingProcessed says what to upload; `first` is one."""

    recordings: int
    first: RecordingId


class Conclusions:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._requests = Requests(connection)

    async def may_record(self, request: OpenRequest, token: UUID, conclusion: Conclusion) -> bool:
        """Lock the folder. False: somebody else has its lease by now, or the request was closed otherwise.

        That it has had its effect is true whenever it is heard. So that counts also if nobody has the lease: the
        request was put on hold meanwhile, or waits for its repeat.
        """
        lease_token = await self._connection.scalar(
            text("select lease_token from folder where folder_id = :folder_id for no key update"),
            {"folder_id": request.folder_id},
        )
        # A statement of its own: one that had waited for the lock would see requests as they were before that.
        is_open = await self._connection.scalar(
            text("select exists (select from upload_request where id = :id)"), {"id": request.id}
        )
        is_ours = lease_token == token or (lease_token is None and isinstance(conclusion, Transferred))
        return bool(is_open) and is_ours

    async def record(self, request: OpenRequest, conclusion: Conclusion, *, max_files: int) -> None:
        """Apply it. `max_files`: of the folder's requests so far; it stays unless the conclusion changes it."""
        match conclusion:
            case Transferred(clouds_uuid, wider):
                await self._transferred(request, clouds_uuid)
                await self._requests.close(request)
                await self._settle(request.folder_id, max_files=wider)
            case Release(message, wait_s):
                await self._requests.close(request)
                await self._settle(request.folder_id, max_files=max_files, message=message, wait_s=wait_s, failed=True)
            case Narrow(message, rejected, narrower):
                await self._requests.close(request)
                await Uploads(self._connection).reject(rejected, sent=() if conclusion.newer_too else request.files)
                await self._settle(request.folder_id, max_files=narrower, message=message)
            case Repeat(message, wait_s):
                await self._settle(request.folder_id, max_files=max_files, message=message, wait_s=wait_s, failed=True)
            case HoldRequest():
                message = conclusion.in_words
                await self._settle(
                    request.folder_id, max_files=max_files, message=message, held="outcome_unknown", failed=True
                )
            case FolderMissing(message):
                await self._requests.close(request)
                await self._settle(request.folder_id, max_files=max_files, message=message, held="missing_in_cloud")
            case never:
                assert_never(never)

    async def _transferred(self, request: OpenRequest, clouds_uuid: CloudsUuid) -> None:
        """The facts, made of the bytes that were sent; they are announced from their rows."""
        transferred_at = await self._moment_in(request.folder_id)
        transfers = Transfers(self._connection)
        await transfers.place({request.folder_id: Place(clouds_uuid, transferred_at)})
        await transfers.put(
            [
                RecordingTransferred(
                    recording_id=frozen.recording_id,
                    folder_id=request.folder_id,
                    clouds_uuid=clouds_uuid,
                    transfer_version=frozen.transfer_version,
                    file=file,
                    link_version=frozen.link_version,
                    transferred_at=transferred_at,
                )
                for frozen, file in zip(request.files, files_in(request.body), strict=True)
            ]
        )

    async def _moment_in(self, folder_id: FolderId) -> datetime:
        """Now, but after every earlier transfer into this folder, even if the clock was set back."""
        found = await self._connection.execute(
            text("""
                select greatest(now(), uuid_since + interval '1 microsecond') from folder where folder_id = :folder_id
            """),
            {"folder_id": folder_id},
        )
        moment: datetime = found.scalar_one()
        return moment

    async def _settle(
        self,
        folder_id: FolderId,
        *,
        max_files: int,
        message: str | None = None,
        wait_s: float = 0,
        failed: bool = False,
        held: str | None = None,
    ) -> None:
        """End the lease and have the folder looked at again: it may have more, and whoever looks finds out."""
        await self._connection.execute(
            text("""
                update folder set lease_token = null, lease_until = null, due_at = now(),
                    retry_at = now() + make_interval(secs => cast(:wait_s as double precision)),
                    attempts = case when :failed then attempts + 1 else 0 end,
                    last_error = :message, held = :held, max_files = :max_files
                where folder_id = :folder_id
            """),
            {
                "folder_id": folder_id,
                "wait_s": wait_s or None,
                "failed": failed,
                "message": message,
                "held": held,
                "max_files": None if max_files >= MAX_FILES else max_files,
            },
        )

    async def retry_now(self) -> None:
        """Let every folder that waits for its next try be due at once."""
        await self._connection.execute(
            text("""
                update folder set retry_at = null where folder_id in (
                    select folder_id from folder where retry_at > now() order by folder_id for no key update)
            """)
        )

    async def held_request(self, folder_id: FolderId) -> OpenRequest | None:
        """Lock the folder. Its open request, if it waits for an operator's word about that."""
        held = await self._connection.execute(
            text("""
                select 1 from folder where folder_id = :folder_id and held = 'outcome_unknown' for no key update
            """),
            {"folder_id": folder_id},
        )
        return await self._requests.of(folder_id) if held.one_or_none() is not None else None

    async def upload_again(self, folder_id: FolderId, *, lost: CloudsUuid) -> int | Elsewhere | Busy | Unprocessed:
        """The cloud has lost this folder: make it anew, with every recording that was in it. Returns how many.

        Anything but a number leaves nothing to commit. Only the uuid says that it is really lost, and not already made
        anew: that the cloud misses it may be known to cloud_updater alone.
        """
        present = await self._connection.execute(
            text("""
                select distinct r.folder_id from transfer t join recording r using (recording_id)
                where t.folder_id = :folder_id
            """),
            {"folder_id": folder_id},
        )
        store = Store(self._connection)
        concerned: set[FolderId] = {folder_id, *(row.folder_id for row in present)}
        await store.look_at(dict.fromkeys(concerned, await store.now()))
        folder = (
            await self._connection.execute(
                text("""
                    select clouds_uuid, exists (select from upload_request q where q.folder_id = d.folder_id) as busy
                    from folder d where folder_id = :folder_id
                """),
                {"folder_id": folder_id},
            )
        ).one()
        if folder.clouds_uuid != lost:
            return Elsewhere(folder.clouds_uuid)
        if folder.busy:
            return Busy()
        if (unprocessed := await self._unprocessed(folder_id)) is not None:
            return unprocessed
        await self._connection.execute(
            text("""
                update folder set clouds_uuid = null, uuid_since = greatest(now(), uuid_since), held = null,
                    retry_at = null, attempts = 0, last_error = null
                where folder_id = :folder_id
            """),
            {"folder_id": folder_id},
        )
        wanted = await self._connection.execute(
            text("""
                update recording set wanted_version = t.transfer_version + 1, waiting = true, rejected = null
                from transfer t
                where t.recording_id = recording.recording_id and t.folder_id = :folder_id
            """),
            {"folder_id": folder_id},
        )
        return wanted.rowcount

    async def _unprocessed(self, folder_id: FolderId) -> Unprocessed | None:
        """What would stay behind in a lost folder, as nobody could say later that it is still to be uploaded."""
        found = await self._connection.execute(
            text("""
                select count(*) as recordings, min(recording_id) as first from transfer t
                where folder_id = :folder_id
                    and not exists (select from recording r where r.recording_id = t.recording_id)
            """),
            {"folder_id": folder_id},
        )
        row = found.one()
        return Unprocessed(row.recordings, RecordingId(row.first)) if row.recordings else None
