"""A broker: partitions of records, what a consumer polls of them, and who is to have which partition.

It delivers at least once and promises nothing else: records come again after a seek, compaction leaves gaps, a topic
may be deleted and made anew, and a consumer that has not heard of a rebalance goes on with what it had.
Some of what other services publish is in transactions, whose ends leave gaps as well.
"""

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

from aiokafka import TopicPartition

from schemas.raw_headers import NO_HEADERS, joined
from schemas.topics import RECORDING_PROCESSED, TICKET_LINK_REQUESTED, TICKET_SYNC_REQUESTED, TOPICS
from shared.own_records import OwnRecords
from shared.producer import Outgoing
from shared.record import Record

PARTITIONS = 2
POLLED_MAX = 4
WITH_TRANSACTIONS = {one.name for one in (RECORDING_PROCESSED, TICKET_LINK_REQUESTED, TICKET_SYNC_REQUESTED)}


class Broker:
    """`appended` is told of every record. `failing`: by service, of each of its next publications how many records are
    taken before it fails, and whether those are acknowledged."""

    def __init__(self, now: Callable[[], datetime], appended: Callable[[Record], None]) -> None:
        self._now = now
        self._appended = appended
        self.logs: dict[TopicPartition, list[Record]] = {}
        self.failing: dict[str, list[tuple[int, bool]]] = defaultdict(list)
        self.fired: Counter[str] = Counter()
        self._ends: dict[TopicPartition, int] = {}
        self._on_disk: dict[TopicPartition, int] = {}
        for topic in TOPICS:
            self.make(topic.name)

    def make(self, topic: str) -> None:
        """Make the topic anew, empty."""
        for partition in range(PARTITIONS):
            self.logs[TopicPartition(topic, partition)] = []
            self._ends[TopicPartition(topic, partition)] = self._on_disk[TopicPartition(topic, partition)] = 0

    def append(self, one: Outgoing, timestamp: datetime | None = None) -> Record:
        """Take a record; its key decides the partition."""
        place = TopicPartition(one.topic, zlib.crc32(one.key or b"") % PARTITIONS)
        record = Record(
            topic=one.topic,
            partition=place.partition,
            offset=self._ends[place],
            timestamp=int((timestamp or self._now()).timestamp() * 1000),
            key=one.key,
            value=one.value,
            raw_headers=joined(one.headers),
        )
        self._ends[place] += 1
        if one.topic in WITH_TRANSACTIONS and record.offset % 4 == 0:
            self._ends[place] += 1  # it was published in a transaction, whose end takes an offset and holds no record
        self.logs[place].append(record)
        self._appended(record)
        return record

    def last(self, place: TopicPartition) -> Record | None:
        """What was appended last, if it may still be lost: what has been looked through for compaction was on disk."""
        last = self.logs[place][-1] if self.logs[place] else None
        return last if last and last.offset >= self._on_disk[place] else None

    def lose_last(self, place: TopicPartition) -> None:
        """Lose what was acknowledged last; the next record is given its offset."""
        self._ends[place] = self.logs[place].pop().offset

    def end(self, place: TopicPartition) -> int:
        """The next offset."""
        return self._ends[place]

    def ends(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """Of all partitions of these topics."""
        return {place: end for place, end in self._ends.items() if place.topic in topics}

    def compact(self, place: TopicPartition) -> int:
        """Keep the newest record of each key. Returns how many went."""
        newest = {record.key: record for record in self.logs[place]}
        kept = [record for record in self.logs[place] if newest[record.key] is record]
        gone = len(self.logs[place]) - len(kept)
        self._on_disk[place] = self._ends[place]
        self.logs[place] = kept
        return gone

    def between(self, place: TopicPartition, first: int, end: int) -> Sequence[Record]:
        """Records at these offsets, as far as they are still there."""
        return [record for record in self.logs[place] if first <= record.offset < end]


class Consumer:
    """What shared.fold.Fold asks of aiokafka's consumer, and `poll`, which FastStream does for it."""

    failed_polls = 0

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.assigned: frozenset[TopicPartition] = frozenset()
        self._positions: dict[TopicPartition, int] = {}

    def assignment(self) -> frozenset[TopicPartition]:
        """What this consumer believes to have."""
        return self.assigned

    def assign(self, partitions: Iterable[TopicPartition]) -> None:
        """It has heard of a rebalance. Where it stands in a partition that is new to it, only rows say."""
        self.assigned = frozenset(partitions)
        self._positions = {one: self._positions.get(one, 0) for one in self.assigned}

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Poll from there."""
        self._positions[partition] = offset

    async def position(self, partition: TopicPartition) -> int:
        """Where the next poll begins."""
        return self._positions[partition]

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        """Of these."""
        return {one: self._broker.end(one) for one in partitions}

    def stands_at(self, partition: TopicPartition) -> int:
        """Up to where it has read, 0 if it has nothing to do with it."""
        return self._positions.get(partition, 0)

    @property
    def lags(self) -> bool:
        """Whether a poll would return something."""
        return any(self._positions[one] < self._broker.end(one) for one in self.assigned)

    def poll(self, own: OwnRecords) -> dict[TopicPartition, list[Record]]:
        """Some records of each partition, by their order in it; each was a batch of its own."""
        polled: dict[TopicPartition, list[Record]] = defaultdict(list)
        for one in sorted(self.assigned):
            if self._positions[one] > self._broker.end(one):
                self._positions[one] = 0  # out of range: auto_offset_reset="earliest"
            records = [record for record in self._broker.logs[one] if record.offset >= self._positions[one]][
                :POLLED_MAX
            ]
            if records:
                polled[one] = [_known_again(record, own) for record in records]
            self._positions[one] = records[-1].offset + 1 if records else self._broker.end(one)
        return dict(polled)


def as_batch(record: Record) -> memoryview:
    """What would stand in the log of it, with all that its publisher has written after 17 bytes of the broker's."""
    written = repr((record.key, record.value, record.raw_headers)).encode()
    return memoryview(bytes(17) + zlib.crc32(written).to_bytes(4, "big") + written)


def _known_again(record: Record, own: OwnRecords) -> Record:
    found = own.take(as_batch(record), [record])
    return record._replace(value=found, key=None, raw_headers=NO_HEADERS) if found else record
