"""The SQL of what an operator decides about recordings that are kept from the cloud: try them again, or give them up.

The folders concerned are locked first, as by everybody who changes their recordings (see store.py).
"""

from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import CloudsUuid, FolderId, RecordingId
from services.transfer.operators_word import GIVEN_UP_MISSING
from services.transfer.store import Store
from services.transfer.uploads import Uploads
from shared.sql import text


class Retries:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def retry(self, recording_ids: Collection[RecordingId]) -> list[RecordingId]:
        """Let those of them that are rejected wait for their upload again. Returns which these are."""
        folder_ids = await self._connection.scalars(
            text("select distinct folder_id from recording where recording_id = any(:ids)"),
            {"ids": list(recording_ids)},
        )
        store = Store(self._connection)
        await store.look_at(dict.fromkeys(folder_ids, await store.now()))
        retried = await self._connection.scalars(
            text("""
                with locked as materialized (
                    select recording_id, rejected from recording where recording_id = any(:ids)
                    order by recording_id for no key update
                )
                update recording set waiting = true, rejected = null
                where recording_id = any(array(select recording_id from locked where rejected is not null))
                returning recording_id
            """),
            {"ids": list(recording_ids)},
        )
        return sorted(retried)

    async def give_up(self, folder_id: FolderId, *, lost: CloudsUuid) -> int | None:
        """Reject what waits in a folder that the cloud has lost, so that it is not held any more. Returns how many.

        None: it is not held as lost, or not under this uuid.
        """
        held = await self._connection.execute(
            text("""
                select 1 from folder
                where folder_id = :folder_id and held = 'missing_in_cloud' and clouds_uuid = :lost for no key update
            """),
            {"folder_id": folder_id, "lost": lost},
        )
        if held.one_or_none() is None:
            return None
        waiting = await self._connection.scalars(
            text("select recording_id from recording where folder_id = :folder_id and waiting"),
            {"folder_id": folder_id},
        )
        messages = dict.fromkeys(waiting, GIVEN_UP_MISSING)
        await Uploads(self._connection).reject(messages)
        await self._connection.execute(
            text("""
                update folder set held = null, due_at = null, retry_at = null, attempts = 0, last_error = null
                where folder_id = :folder_id
            """),
            {"folder_id": folder_id},
        )
        return len(messages)
