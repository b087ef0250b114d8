"""The SQL of adoptions: what must be known to judge recordings that the cloud is said to have, and taking them over.

The folders named are locked first, as by everybody who changes their recordings (see store.py), so nothing of them
changes between the judgement and the end of the transaction. What is taken over is a transfer like any other: announced
from its row, and taken back from its topic after a lost database.
"""

from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.adopted import Adopted
from schemas.fields import CloudsUuid, FolderId, RecordingId
from services.transfer.adopting import Adopt, Adoption, Known, KnownFile, KnownFolder, decide_adoption
from services.transfer.decisions import Place
from services.transfer.store import Store
from services.transfer.transfers import TransferRow, Transfers
from shared.sql import text

FIRST = 1
# Any constant: two lots could otherwise give one uuid to two folders, each holding its own folder's row.
_UUIDS = 7_411_003


class Adoptions:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def adopt(self, lot: Sequence[Adopted]) -> list[Adoption]:
        """What became of each, in their order."""
        store = Store(self._connection)
        await self._hold_uuids()
        await store.look_at(dict.fromkeys({one.folder_id for one in lot}, await store.now()))
        files = await self._files({one.recording_id for one in lot})
        known = Known(
            await self._folders({one.folder_id for one in lot}),
            files,
            await self._names({(one.folder_id, one.filename or files[one.recording_id].filename) for one in lot}),
            await self._uuids({one.clouds_uuid for one in lot}),
        )

        done = [decide_adoption(one, known) for one in lot]

        await self._take_over([one for one in done if isinstance(one, Adopt)], await store.now())
        return done

    async def owner_of(self, clouds_uuid: CloudsUuid) -> FolderId | None:
        """Which folder is known to be this one in the cloud. It stays so while the transaction lasts.

        To be asked before any folder is held, in the order of `adopt`: else each could wait for the other.
        """
        await self._hold_uuids()
        return (await self._uuids({clouds_uuid})).get(clouds_uuid)

    async def _hold_uuids(self) -> None:
        await self._connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _UUIDS})

    async def _take_over(self, taken: Sequence[Adopt], now: datetime) -> None:
        if not taken:
            return
        transfers = Transfers(self._connection)
        places = await transfers.places({one.said.folder_id for one in taken})
        new = {
            one.said.folder_id: Place(one.said.clouds_uuid, now)
            for one in taken
            if places[one.said.folder_id].clouds_uuid is None
        }
        await transfers.place(new)
        await transfers.put(
            [
                TransferRow(
                    one.said.recording_id,
                    one.said.folder_id,
                    one.said.clouds_uuid,
                    FIRST,
                    one.file.filename,
                    one.file.size,
                    one.file.token,
                    one.file.transcribe,
                    link_version=0,
                    transferred_at=now,
                )
                for one in taken
            ]
        )

    async def _folders(self, folder_ids: Collection[FolderId]) -> dict[FolderId, KnownFolder]:
        rows = await self._connection.execute(
            text("""
                select folder_id, clouds_uuid,
                    exists (select from upload_request q where q.folder_id = folder.folder_id) as busy
                from folder where folder_id = any(:ids)
            """),
            {"ids": list(folder_ids)},
        )
        return {row.folder_id: KnownFolder(row.clouds_uuid, row.busy) for row in rows}

    async def _files(self, recording_ids: Collection[RecordingId]) -> dict[RecordingId, KnownFile]:
        rows = await self._connection.execute(
            text("""
                select u.recording_id, r.folder_id as processed_folder_id, r.filename, r.size_bytes, r.token,
                    r.transcript, t.folder_id, t.clouds_uuid, t.filename as transferred_filename
                from unnest(cast(:ids as text[])) as u (recording_id)
                left join recording r using (recording_id) left join transfer t using (recording_id)
            """),
            {"ids": list(recording_ids)},
        )
        return {
            row.recording_id: KnownFile(
                row.processed_folder_id,
                row.filename,
                row.size_bytes,
                row.token,
                row.transcript,
                transferred_to=(row.folder_id, row.clouds_uuid, row.transferred_filename) if row.clouds_uuid else None,
            )
            for row in rows
        }

    async def _uuids(self, uuids: Collection[CloudsUuid]) -> dict[CloudsUuid, FolderId]:
        rows = await self._connection.execute(
            text("select clouds_uuid, folder_id from folder where clouds_uuid = any(:uuids)"), {"uuids": list(uuids)}
        )
        return {row.clouds_uuid: row.folder_id for row in rows}

    async def _names(self, asked: Collection[tuple[FolderId, str | None]]) -> dict[tuple[FolderId, str], RecordingId]:
        """Whose these names of folders are, where they are somebody's."""
        rows = await self._connection.execute(
            text("""
                select t.folder_id, t.filename, t.recording_id
                from unnest(cast(:folders as text[]), cast(:names as text[])) as u (folder_id, filename)
                join transfer t on t.folder_id = u.folder_id and md5(t.filename) = md5(u.filename)
                    and t.filename = u.filename
            """),
            {"folders": [folder for folder, _ in asked], "names": [name for _, name in asked]},
        )
        return {(row.folder_id, row.filename): row.recording_id for row in rows}
