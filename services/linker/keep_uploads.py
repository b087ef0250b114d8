"""Keeps uploads for a while: takes them in, hands them out as files, and forgets what is beyond the bounds.

An upload changes nothing by itself. It spares its sender to send the file again for each look at it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from services.linker.accept_imports import Upload, uploaded
from services.linker.settings import LinkerSettings
from services.linker.store_uploads import KeptUpload, Uploads, parts
from shared.database import Database

PART_BYTES = 1_000_000
LOOK_EVERY_S = 60.0


@dataclass(frozen=True)
class KeepUploads:
    """The uploads of this service, whichever of its processes took them in."""

    settings: LinkerSettings
    database: Database

    async def keep(self, upload: Upload, *, filename: str) -> KeptUpload:
        """Store a file that has come in."""
        size_bytes = (await asyncio.to_thread(upload.path.stat)).st_size
        kept = KeptUpload(str(uuid4()), filename, upload.sha256, size_bytes, datetime.now(UTC))
        file = await asyncio.to_thread(upload.path.open, "rb")
        try:
            async with self.database.transaction() as connection:
                uploads = Uploads(connection)
                await uploads.begin(kept)
                place = 0
                while content := await asyncio.to_thread(file.read, PART_BYTES):
                    await uploads.add(kept.upload_id, place, content)
                    place += 1
                await uploads.forget_beyond(number=self.settings.uploads_max, since=self._since())
        finally:
            await asyncio.to_thread(file.close)
        return kept

    @asynccontextmanager
    async def file(self, upload_id: str) -> AsyncIterator[tuple[KeptUpload, Upload] | None]:
        """The upload and its content as a file, as long as the block lasts; None if it is not kept."""
        async with self.database.transaction() as connection:
            kept = await Uploads(connection).find(upload_id, since=self._since())
        if kept is None:
            yield None
            return
        async with uploaded(parts(self.database, upload_id)) as upload:
            # It may have been forgotten while it was read.
            yield (kept, upload) if upload.sha256 == kept.sha256 else None

    async def forget(self, upload_id: str) -> bool:
        """Whether it was there."""
        async with self.database.transaction() as connection:
            return await Uploads(connection).forget(upload_id)

    async def step(self) -> float | None:
        """The step of a loop: forget what is too old."""
        async with self.database.transaction() as connection:
            await Uploads(connection).forget_beyond(number=self.settings.uploads_max, since=self._since())
        return LOOK_EVERY_S

    def expires_at(self, kept: KeptUpload) -> datetime:
        """From when on it is not there any more."""
        return kept.uploaded_at + timedelta(seconds=self.settings.upload_keep_s)

    def _since(self) -> datetime:
        return datetime.now(UTC) - timedelta(seconds=self.settings.upload_keep_s)
