"""How far a service is behind Kafka, partition by partition: what it has not folded yet, and since when that waits.

In: where its positions stand. Out: ends, and the time of the first record beyond each position, which is read for it.
Offsets are counted: a compacted topic has gaps, so fewer records may wait than are said to, never more.
"""

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from aiokafka import AIOKafkaConsumer, TopicPartition

from shared.kafka import KafkaSettings, asking_options, started
from shared.topics import extents_by, partitions

MINUTE = timedelta(minutes=1)
READ_LIMIT_S = 3.0
POLL_MS = 200
REQUEST_TIMEOUT_MS = 10_000


@dataclass(frozen=True)
class Behind:
    """One partition. `unread_since`: when its first unread record came, None if there is none.

    `last_minute`: records that were published within the last minute.
    """

    partition: TopicPartition
    next_offset: int
    end_offset: int
    unread_since: datetime | None
    last_minute: int

    @property
    def records(self) -> int:
        """How many wait, at most."""
        return max(0, self.end_offset - self.next_offset)


async def behind(
    kafka: KafkaSettings, topics: Collection[str], reached: Mapping[TopicPartition, int], *, now: datetime
) -> list[Behind]:
    """For every partition of the topics; one without a position stands where its records begin.

    Raises KafkaError, or TimeoutError.
    """
    places = await partitions(kafka, topics)
    if not places:
        return []
    async with started(AIOKafkaConsumer(**asking_options(kafka), request_timeout_ms=REQUEST_TIMEOUT_MS)) as consumer:
        there = await extents_by(consumer, places)
        next_offsets = {one: max(reached.get(one, 0), offsets.start) for one, offsets in there.items()}
        since = {one: int((now - MINUTE).timestamp() * 1000) for one in there}
        recent = await consumer.offsets_for_times(since)
        unread = {one: at for one, at in next_offsets.items() if at < there[one].stop}
        times = await _times(consumer, unread)
    return [
        Behind(
            one,
            next_offsets[one],
            there[one].stop,
            times.get(one),
            there[one].stop - recent[one].offset if recent.get(one) else 0,
        )
        for one in sorted(there)
    ]


async def _times(consumer: AIOKafkaConsumer, unread: Mapping[TopicPartition, int]) -> dict[TopicPartition, datetime]:
    """When the first record from each offset on came; of those that can be read in time."""
    found: dict[TopicPartition, datetime] = {}
    if not unread:
        return found
    consumer.assign(list(unread))
    for partition, offset in unread.items():
        consumer.seek(partition, offset)
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            while len(found) < len(unread):
                for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                    found[partition] = datetime.fromtimestamp(records[0].timestamp / 1000, UTC)
                    consumer.pause(partition)
    except TimeoutError:
        pass  # behind the position there may be nothing but the end of a transaction
    return found
