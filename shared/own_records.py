"""Batches of an own topic that this very process has published, from rows which know all that they say.

To read them says nothing new, and to find that out costs as much as to announce them. So what they say is remembered
until they come back, and a batch that comes as it was published is heard without being taken apart. All others are
read: those of another process, of a time before this one, what compaction has changed, and whatever is read again,
because a seek means that the rows are not what they were.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aiokafka import TopicPartition

from shared.producer import Published
from shared.record import Record


class Skimmed(NamedTuple):
    """What says whether a fact is news: its key, its order among the facts of that key, and what tells it apart from
    others of the same order (empty if nothing does).
    """

    key: str
    order: tuple[int, ...]
    told_apart_by: str


class OwnBatch(NamedTuple):
    """Stands as the value of one record for all of a batch: how many they are, what those say that somebody waits for,
    and the records, if they must be read.
    """

    size: int
    says: Sequence[Skimmed]
    records: Iterable[Record]


def in_full(records: Iterable[Record]) -> list[Record]:
    """The records that they stand for, own batches read."""
    found: list[Record] = []
    for record in records:
        if isinstance(record.value, OwnBatch):
            found += record.value.records
        else:
            found.append(record)
    return found


def number_of(records: Iterable[Record]) -> int:
    """How many records they stand for."""
    return sum(record.value.size if isinstance(record.value, OwnBatch) else 1 for record in records)


# What is published again and again while nobody reads the topic would fill the memory.
REMEMBERED = 200_000
# Of a batch, what Kafka writes itself stands before its checksum: where it is, and under which leader.
_WRITTEN_BY_KAFKA_BYTES = 17
_CHECKSUM_BYTES = 4


class _Remembered(NamedTuple):
    partition: TopicPartition
    end: int
    content: int
    size: int
    says: Sequence[Skimmed]


class OwnRecords:
    """Of one topic, each batch until it has come or was passed.

    That Kafka has acknowledged a batch does not prove that it is there for ever: a log that was cut back, or a topic
    that was made anew, has another in its place. So what comes counts as ours only if it is, byte for byte.
    """

    def __init__(self) -> None:
        self._batches: dict[bytes, _Remembered] = {}

    def add(self, published: Published) -> None:
        """Kafka has acknowledged these. Beyond REMEMBERED all are forgotten, that is, read as they come."""
        if sum(one.size for one in self._batches.values()) >= REMEMBERED:
            self._batches.clear()
        size = len(published.records)
        says = [one.says for one in published.records if one.says]
        checksum, content = _known_by(published.batch)
        end = published.first_offset + size
        self._batches[checksum] = _Remembered(published.partition, end, content, size, says)

    def take(self, batch: memoryview, records: Iterable[Record]) -> OwnBatch | None:
        """The batch, if it came as it was published, this once; `records` reads it."""
        remembered = self._batches.get(bytes(batch[_WRITTEN_BY_KAFKA_BYTES:][:_CHECKSUM_BYTES]))
        if remembered is None:
            return None
        checksum, content = _known_by(batch)
        if content != remembered.content:
            return None
        del self._batches[checksum]
        return OwnBatch(remembered.size, remembered.says, records)

    def passed(self, ends: Mapping[TopicPartition, int]) -> None:
        """What lies before these offsets was folded."""
        self._keep(one for one in self._batches.items() if one[1].end > ends.get(one[1].partition, 0))

    def forget(self, partition: TopicPartition) -> None:
        """Read all of the partition."""
        self._keep(one for one in self._batches.items() if one[1].partition != partition)

    def _keep(self, batches: Iterable[tuple[bytes, _Remembered]]) -> None:
        self._batches = dict(batches)


def _known_by(batch: memoryview) -> tuple[bytes, int]:
    """Its checksum, by which it is looked up, and a hash of all that its publisher has written."""
    written = bytes(batch[_WRITTEN_BY_KAFKA_BYTES:])
    return written[:_CHECKSUM_BYTES], hash(written)
