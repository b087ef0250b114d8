"""What aiokafka's fetcher makes of the batches that came: records of ours, and of an own batch one that stands for all.

aiokafka has no hook for this, so two names in its fetcher are replaced; its version is pinned, and tests read such
records from genuine Kafka.
"""

import struct
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher
from aiokafka.record.memory_records import MemoryRecords

from shared.own_records import OwnRecords
from shared.record import Record, RecordBatch

# Where each batch begins: its first offset, then the length of what follows.
_BATCH_START = struct.Struct(">qi")

# What the process has published to the topic that is read here: batches are taken apart in the task that polls.
own_records: ContextVar[OwnRecords | None] = ContextVar("own_records", default=None)


def read_batches_our_way() -> None:
    """From now on, for every consumer in this process. Once is enough, twice is harmless."""
    fetcher.MemoryRecords = _Fetched
    fetcher.PartitionRecords = _PartitionRecords


class _Fetched:
    """The batches that were fetched from one partition, as the fetcher uses them."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = fetched
        self._at = 0
        self._batches = MemoryRecords(fetched)
        self.has_next = self._batches.has_next
        self.size_in_bytes = self._batches.size_in_bytes
        self.place = TopicPartition(
            "", -1
        )  # the fetcher tells it to `_PartitionRecords`, before any batch is asked for

    def next_batch(self) -> "_Batch":
        known = self._batches.next_batch()
        start = self._at
        self._at += _BATCH_START.size + _BATCH_START.unpack_from(self._fetched, start)[1]
        return _Batch(RecordBatch(known, self._fetched, slice(start, self._at), self.place))


class _PartitionRecords(fetcher.PartitionRecords):  # type: ignore[misc]  # aiokafka ships no types
    """Which of the batches are read, and from where on, stays the fetcher's business; records are ours already.

    Nothing is deserialized.
    """

    def __init__(self, place: TopicPartition, batches: _Fetched, *others: Any) -> None:  # noqa: ANN401
        batches.place = place
        super().__init__(place, batches, *others)

    def __iter__(self) -> Iterator[Record]:
        # By itself, without a call for each record.
        records: Iterator[Record] = self._records_iterator
        return records

    def _contains_abort_marker(self, batch: "_Batch") -> bool:
        # The log cleaner may leave a control batch of which nothing is left; aiokafka raises for it at every poll.
        return not batch.is_empty and bool(super()._contains_abort_marker(batch))

    def _consumer_record(self, _: TopicPartition, record: Record) -> Record:
        return record


class _Batch:
    """A batch as the fetcher uses it."""

    def __init__(self, records: RecordBatch) -> None:
        self._records = records

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._records.known, name)

    @property
    def is_empty(self) -> bool:
        return self._records.number == 0

    def __next__(self) -> Any:  # noqa: ANN401
        return next(self._records.known)

    def __iter__(self) -> Iterator[Record]:
        own = own_records.get()
        if own and (found := own.take(self._records.content, self._records)):
            topic, partition = self._records.place
            yield Record(topic, partition, self.next_offset - 1, self.max_timestamp, None, found)
        else:
            yield from self._records
