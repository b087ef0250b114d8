"""Sends a file of any size: read as it goes out, with a bar for those who watch."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.progress import Progress, TaskID

from ops.exits import WrongInput

CHUNK_BYTES = 262_144


@contextmanager
def upload(file: Path, bar: Progress) -> Iterator["FileContent"]:
    """The content of the file. Raises WrongInput if it cannot be read."""
    try:
        yield FileContent(file, bar, bar.add_task("bytes sent", total=file.stat().st_size))
    except OSError as error:
        raise WrongInput(f"{file} cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class FileContent:
    """Read anew from the start each time it is sent: a service that is still catching up asks for it again."""

    path: Path
    bar: Progress
    task: TaskID

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """The chunks."""
        sent = 0
        with await asyncio.to_thread(self.path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                yield chunk
                sent += len(chunk)
                self.bar.update(self.task, completed=sent)
