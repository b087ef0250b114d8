"""The SQL of uploads: spreadsheets that were sent to be looked at first. They are bounded in number, size and age.

They stand in the database, not in a file, so that whichever copy of linker gets the next request has them. What is
beyond the bounds goes, the oldest first: its sender still has the file.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.database import Database
from shared.sql import text


@dataclass(frozen=True)
class KeptUpload:
    """A spreadsheet that is kept for a while."""

    upload_id: str
    filename: str
    sha256: str
    size_bytes: int
    uploaded_at: datetime


class Uploads:
    """One transaction's view of the tables `upload` and `upload_part`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def begin(self, upload: KeptUpload) -> None:
        """Store all but the content."""
        await self._connection.execute(
            text("""
                insert into upload (upload_id, filename, sha256, size_bytes, uploaded_at)
                values (:upload_id, :filename, :sha256, :size_bytes, :uploaded_at)
            """),
            vars(upload),
        )

    async def add(self, upload_id: str, place: int, content: bytes) -> None:
        """Store a part of the content; `place` counts them from 0."""
        await self._connection.execute(
            text("insert into upload_part (upload_id, place, content) values (:upload_id, :place, :content)"),
            {"upload_id": upload_id, "place": place, "content": content},
        )

    async def find(self, upload_id: str, *, since: datetime) -> KeptUpload | None:
        """The upload, unless it is older."""
        row = (
            await self._connection.execute(
                text("""
                    select upload_id, filename, sha256, size_bytes, uploaded_at from upload
                    where upload_id = :upload_id and uploaded_at >= :since
                """),
                {"upload_id": upload_id, "since": since},
            )
        ).one_or_none()
        return KeptUpload(*row) if row else None

    async def part(self, upload_id: str, place: int) -> bytes | None:
        """A part of the content, None after the last."""
        found = await self._connection.scalar(
            text("select content from upload_part where upload_id = :upload_id and place = :place"),
            {"upload_id": upload_id, "place": place},
        )
        return None if found is None else bytes(found)

    async def forget(self, upload_id: str) -> bool:
        """Whether it was there."""
        gone = await self._connection.execute(
            text("delete from upload where upload_id = :upload_id"), {"upload_id": upload_id}
        )
        return gone.rowcount > 0

    async def forget_beyond(self, *, number: int, since: datetime) -> int:
        """Keep the newest of this number, and of these none that is older; returns how many went."""
        gone = await self._connection.execute(
            text("""
                delete from upload where uploaded_at < :since or upload_id in (
                    select upload_id from upload order by uploaded_at desc, upload_id offset :number)
            """),
            {"number": number, "since": since},
        )
        return gone.rowcount


async def parts(database: Database, upload_id: str) -> AsyncIterator[bytes]:
    """The content, part by part."""
    place = 0
    while True:
        async with database.transaction() as connection:
            content = await Uploads(connection).part(upload_id, place)
        if content is None:
            return
        yield content
        place += 1
