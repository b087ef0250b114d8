"""The SQL of requests: frozen before they are first sent, open until their outcome is known, then gone.

Whoever finds an open request knows that it may have had its effect. A folder has one at most, and so has a recording;
the database holds both.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import CloudsUuid, FolderId
from services.transfer.lots import FrozenFile, Kind, Lot
from services.transfer.uploads import Folder
from shared.arrays import with_arrays
from shared.sql import text


@dataclass(frozen=True)
class OpenRequest:
    """A request of which the outcome is open. `repeated`: it was sent before this attempt."""

    id: UUID
    folder_id: FolderId
    kind: Kind
    clouds_uuid: CloudsUuid | None
    body: bytes = field(repr=False)
    keys_honoured: bool
    first_sent_at: datetime
    repeated: bool
    files: tuple[FrozenFile, ...]


class Requests:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def of(self, folder_id: FolderId) -> OpenRequest | None:
        """The folder's open request."""
        row = (
            await self._connection.execute(
                text("select * from upload_request where folder_id = :folder_id"), {"folder_id": folder_id}
            )
        ).one_or_none()
        if row is None:
            return None
        files = await self._connection.execute(
            text("""
                select recording_id, transfer_version, link_version, content_hash from frozen_file
                where request_id = :id order by position
            """),
            {"id": row.id},
        )
        return OpenRequest(
            row.id,
            row.folder_id,
            cast("Kind", row.kind),
            row.clouds_uuid,
            bytes(row.body),
            row.keys_honoured,
            row.frozen_at,
            repeated=True,
            files=tuple(FrozenFile(*one) for one in files),
        )

    async def freeze(self, folder: Folder, lot: Lot, *, request_id: UUID, keys_honoured: bool) -> OpenRequest:
        """Write down what is about to be sent, byte for byte, before anybody sends it."""
        await self._connection.execute(
            text("""
                insert into upload_request (id, folder_id, kind, clouds_uuid, body, keys_honoured, frozen_at, attempts)
                values (:id, :folder_id, :kind, :clouds_uuid, :body, :keys_honoured, :now, 1)
            """),
            {
                "id": request_id,
                "folder_id": folder.folder_id,
                "kind": lot.kind,
                "clouds_uuid": lot.clouds_uuid,
                "body": lot.body,
                "keys_honoured": keys_honoured,
                "now": folder.now,
            },
        )
        files = lot.frozen
        await self._connection.execute(
            with_arrays("""
                insert into frozen_file (
                    recording_id, request_id, position, transfer_version, link_version, content_hash)
                select recording_id, :id, place - 1, transfer_version, link_version, content_hash
                from unnest(cast(:recording_ids as text[]), cast(:versions as int[]), cast(:links as int[]),
                        cast(:hashes as bytea[]))
                    with ordinality as u (recording_id, transfer_version, link_version, content_hash, place)
            """),
            {
                "id": request_id,
                "recording_ids": [one.recording_id for one in files],
                "versions": [one.transfer_version for one in files],
                "links": [one.link_version for one in files],
                "hashes": [one.content_hash for one in files],
            },
        )
        return OpenRequest(
            request_id,
            folder.folder_id,
            lot.kind,
            lot.clouds_uuid,
            lot.body,
            keys_honoured,
            folder.now,
            repeated=False,
            files=files,
        )

    async def send_again(self, request: OpenRequest) -> None:
        """Count one more attempt."""
        await self._connection.execute(
            text("update upload_request set attempts = attempts + 1 where id = :id"), {"id": request.id}
        )

    async def close(self, request: OpenRequest) -> None:
        """Its outcome is known; its recordings are free."""
        await self._connection.execute(
            text("""
                with closed as (delete from upload_request where id = :id)
                delete from frozen_file where request_id = :id
            """),
            {"id": request.id},
        )
