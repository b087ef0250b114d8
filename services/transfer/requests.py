"""The SQL of requests: frozen before they are first sent, open until their outcome is known, then gone.

Whoever finds an open request knows that it may have had its effect. A folder has one at most, and so has a recording;
the database holds both.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import CloudsUuid, FolderId
from services.transfer.lots import FrozenFile, Kind, Lot
from services.transfer.uploads import Folder
from shared.arrays import joined, with_arrays
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

    @classmethod
    def of(cls, folder: Folder, lot: Lot, *, request_id: UUID, keys_honoured: bool) -> Self:
        """A new one."""
        return cls(
            request_id,
            folder.folder_id,
            lot.kind,
            lot.clouds_uuid,
            lot.body,
            keys_honoured,
            folder.now,
            repeated=False,
            files=lot.frozen,
        )


class Requests:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def of(self, folder_ids: Collection[FolderId]) -> dict[FolderId, OpenRequest]:
        """The open requests of these folders, where they have one."""
        rows = await self._connection.execute(
            with_arrays("""
                select id, folder_id, kind, clouds_uuid, body, keys_honoured, frozen_at from upload_request
                where folder_id = any(cast(:folder_ids as text[]))
            """),
            {"folder_ids": list(folder_ids)},
        )
        found = rows.all()
        files = await self._files([row.id for row in found]) if found else {}
        return {
            row.folder_id: OpenRequest(
                row.id,
                row.folder_id,
                cast("Kind", row.kind),
                row.clouds_uuid,
                bytes(row.body),
                row.keys_honoured,
                row.frozen_at,
                repeated=True,
                files=tuple(files[row.id]),
            )
            for row in found
        }

    async def _files(self, ids: Sequence[UUID]) -> dict[UUID, list[FrozenFile]]:
        rows = await self._connection.execute(
            with_arrays("""
                select request_id, recording_id, transfer_version, link_version, content_hash from frozen_file
                where request_id = any(cast(:ids as uuid[])) order by position
            """),
            {"ids": ids},
        )
        files: dict[UUID, list[FrozenFile]] = defaultdict(list)
        for request_id, *columns in rows:
            files[request_id].append(FrozenFile._make(columns))
        return files

    async def freeze(self, requests: Sequence[OpenRequest]) -> None:
        """Write down what is about to be sent, byte for byte, before anybody sends it."""
        files = [(one, place, file) for one in requests for place, file in enumerate(one.files)]
        bodies = joined([one.body for one in requests])
        await self._connection.execute(
            with_arrays("""
                with request as (
                    insert into upload_request (
                        id, folder_id, kind, clouds_uuid, body, keys_honoured, frozen_at, attempts)
                    select id, folder_id, kind, clouds_uuid,
                        substring(cast(:bodies as bytea) from begins for bytes), honoured, frozen_at, 1
                    from unnest(cast(:ids as uuid[]), cast(:folder_ids as text[]), cast(:kinds as text[]),
                            cast(:uuids as text[]), cast(:begins as int[]), cast(:bytes as int[]),
                            cast(:honoured as boolean[]), cast(:times as timestamptz[]))
                        as u (id, folder_id, kind, clouds_uuid, begins, bytes, honoured, frozen_at)
                )
                insert into frozen_file (
                    recording_id, request_id, position, transfer_version, link_version, content_hash)
                select * from unnest(cast(:recording_ids as text[]), cast(:request_ids as uuid[]),
                    cast(:positions as int[]), cast(:versions as int[]), cast(:links as int[]),
                    cast(:hashes as bytea[]))
            """),
            {
                "ids": [one.id for one in requests],
                "folder_ids": [one.folder_id for one in requests],
                "kinds": [one.kind for one in requests],
                "uuids": [one.clouds_uuid for one in requests],
                "bodies": bodies.content,
                "begins": bodies.begins,
                "bytes": bodies.lengths,
                "honoured": [one.keys_honoured for one in requests],
                "times": [one.first_sent_at for one in requests],
                "recording_ids": [file.recording_id for _, _, file in files],
                "request_ids": [one.id for one, _, _ in files],
                "positions": [place for _, place, _ in files],
                "versions": [file.transfer_version for _, _, file in files],
                "links": [file.link_version for _, _, file in files],
                "hashes": [file.content_hash for _, _, file in files],
            },
        )

    async def send_again(self, request: OpenRequest) -> None:
        """Count one more attempt."""
        await self._connection.execute(
            text("update upload_request set attempts = attempts + 1 where id = :id"), {"id": request.id}
        )

    async def close(self, requests: Collection[OpenRequest]) -> None:
        """Their outcomes are known; their recordings are free."""
        await self._connection.execute(
            with_arrays("""
                with closed as (delete from upload_request where id = any(cast(:ids as uuid[])))
                delete from frozen_file where request_id = any(cast(:ids as uuid[]))
            """),
            {"ids": [one.id for one in requests]},
        )
