"""What aiokafka's fetcher makes of the batches that came: an own batch stays whole, and any header's name can be read.

aiokafka has no hook for this, so one name in its fetcher is replaced; its version is pinned, and tests read such
records from genuine Kafka.
"""

import struct
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from shared.header_names import with_any_names
from shared.own_records import OwnBatch, OwnRecords

# Where each batch begins: its first offset, then the length of what follows.
_BATCH_START = struct.Struct(">qi")

# What the process has published to the topic that is read here: batches are taken apart in the task that polls.
own_records: ContextVar[OwnRecords | None] = ContextVar("own_records", default=None)


def read_batches_our_way() -> None:
    """From now on, for every consumer in this process. Once is enough, twice is harmless."""
    fetcher.MemoryRecords = _Records


class _Records:
    """The batches that were fetched from one partition, as the fetcher uses them."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = memoryview(fetched)
        self._place = 0
        self._records = MemoryRecords(fetched)
        self.has_next = self._records.has_next
        self.size_in_bytes = self._records.size_in_bytes

    def next_batch(self) -> "_Batch":
        batch = self._records.next_batch()
        start = self._place
        self._place += _BATCH_START.size + _BATCH_START.unpack_from(self._fetched, start)[1]
        return _Batch(batch, self._fetched[start : self._place])


class _Batch:
    """One batch. It is read again, by aiokafka's slower reader, only if the fast one stumbles over a name."""

    def __init__(self, batch: Any, content: memoryview) -> None:  # noqa: ANN401  # aiokafka ships no types
        self._batch = batch
        self._content = content

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # noqa: ANN401
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        own = own_records.get()
        if own and (found := own.take(self._content, self._batch)):
            yield _Whole(self._batch.next_offset - 1, self._batch.max_timestamp, self._batch.timestamp_type, found)
            return
        try:
            yield from self._batch
        except UnicodeDecodeError:
            # The fetcher passes over the records that it has had already.
            yield from with_any_names(bytes(self._content))


class _Whole(NamedTuple):
    """An own batch in the shape of its last record."""

    offset: int
    timestamp: int
    timestamp_type: int
    value: OwnBatch
    key: None = None
    checksum: None = None
    headers: tuple[()] = ()
