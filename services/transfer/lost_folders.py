"""The SQL of folders that the cloud has lost: on an operator's word they are made anew with all that was in them.

One call is one transaction; it locks the folders concerned (see `store.py`).
"""

from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import CloudsUuid, FolderId, RecordingId
from services.transfer.store import Store
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


class LostFolders:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

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
