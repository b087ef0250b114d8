"""The effect log: every effect the cloud's folders ever had, one JSON line each, in the order in which they happened.

In: an effect, before it is acknowledged to anyone. Out: pages of the log, and at the start all of it, from which the
store is rebuilt. Invariant: a line is with the operating system before the effect counts, so killing the process at any
moment loses no acknowledged effect; a line cut short by the kill was never acknowledged and is removed. A power cut is
not covered (there is no fsync).
"""

import fcntl
import tempfile
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter
from pydantic_core import to_json
from typing_extensions import TypedDict

from local.emulator.bodies import TicketInfo

PAGE_BYTES = 32 * 1024 * 1024

Kind = Literal["create", "inject", "update_ticket", "delete"]


class FileEffect(TypedDict):
    """What a request said about one file.

    `has_ticket_info` is true also for a stated null; `ignored` means that the cloud already had a newer link version.
    The transcript stays out of the log: only its SHA-256 (of the UTF-8 bytes, hexadecimal) is kept.
    """

    filename: str
    size: str
    token: int
    transcribe_sha256: str
    has_ticket_info: bool
    ticket_id: str | None
    ticket_info: TicketInfo | None
    link_version: int | None
    ignored: bool


class Effect(TypedDict):
    """One line of the log; `seq` counts from 1 without gaps.

    `replayed` marks the repeat of a request under its Idempotency-Key: answered again, no effect, and no files listed.
    `body_sha256` stands where the key was honoured: what a repeat is compared with. `folder` is the name, in a create.
    """

    seq: int
    time: str
    kind: Kind
    uuid: str
    folder: str | None
    idempotency_key: str | None
    body_sha256: str | None
    status: int
    replayed: bool
    files: list[FileEffect]


_LINE = TypeAdapter(Effect)


class Journal:
    """The log in a file of one process; a second process on the same folder is refused.

    Raises:
        BlockingIOError: another emulator is using `data_dir`.
    """

    def __init__(self, data_dir: Path | None) -> None:
        self._ends = array("Q")  # where each line ends; 8 bytes a line is all that stays in memory
        if data_dir is None:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 # closed by close()
        else:
            data_dir.mkdir(parents=True, exist_ok=True)
            self._file = (data_dir / "effects.jsonl").open("a+b", buffering=0)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._file.close()
                raise

    @property
    def last_seq(self) -> int:
        """The number of the newest effect; 0 if there is none."""
        return len(self._ends)

    def recover(self) -> Iterator[Effect]:
        """All effects of earlier runs, oldest first; called once, before the first append.

        Raises:
            pydantic.ValidationError: a complete line is not an effect: somebody else wrote to the file.
        """
        self._file.seek(0)
        with open(self._file.fileno(), "rb", closefd=False) as lines:  # a second, buffered view
            for line in lines:
                if line.endswith(b"\n"):
                    self._ends.append(self._size + len(line))
                    yield _LINE.validate_json(line)
        self._file.truncate(self._size)

    def append(self, effect: Effect) -> None:
        """Writes the effect's line, whole or not at all.

        Raises:
            OSError: it could not be written; the log is as before.
        """
        line = to_json(effect) + b"\n"
        self._file.seek(self._size)
        try:
            written = self._file.write(line)
        except OSError:
            written = 0
        if written != len(line):
            self._file.truncate(self._size)
            raise OSError("the effect log cannot be written")
        self._ends.append(self._size + len(line))

    def page(self, *, after: int, limit: int, limit_bytes: int = PAGE_BYTES) -> list[bytes]:
        """The lines (JSON) with `seq` above `after`, in order, within both limits; but the first one in any case."""
        if after >= self.last_seq:
            return []
        start = self._ends[after - 1] if after else 0
        last = max(after + 1, bisect_right(self._ends, start + limit_bytes))
        last = min(last, after + limit)
        self._file.seek(start)
        return self._read(self._ends[last - 1] - start).splitlines()

    def clear(self) -> None:
        """Forgets everything; the next effect is number 1 again."""
        self._file.truncate(0)
        del self._ends[:]

    def close(self) -> None:
        """Gives the file back; nothing can be written after it."""
        self._file.close()

    @property
    def _size(self) -> int:
        return self._ends[-1] if self._ends else 0

    def _read(self, count: int) -> bytes:
        chunks = []
        while count and (chunk := self._file.read(count)):
            chunks.append(chunk)
            count -= len(chunk)
        return b"".join(chunks)
