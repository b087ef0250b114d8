"""Publishing to Kafka: big batches, acknowledged by all replicas, each batch all or reported.

aiokafka's idempotent producer can be left unusable by a broker that went away (its issue 1017), so a producer that
failed is thrown away and a new one made. A batch that failed may still be in the topic; whoever publishes must be able
to publish the same again.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from random import choice
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.producer.message_accumulator import BatchBuilder

from shared.kafka import KafkaSettings, client_options
from shared.partition import murmur2

SEND_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
MAX_REQUEST_BYTES = 6_000_000
# What a lot has for a partition goes as one batch: of several, each waits until the one before has been acknowledged.
MAX_BATCH_BYTES = 1_000_000


class Outgoing(NamedTuple):
    """One record to publish. `says`: what whoever made it knows of it, for those who heed what is published."""

    topic: str
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]
    says: Any = None


class Published(NamedTuple):
    """Records that Kafka has acknowledged, one behind the other, and the `batch` that they were sent in."""

    partition: TopicPartition
    first_offset: int
    records: Sequence[Outgoing]
    batch: memoryview


Heed = Callable[[Published], None]


class Producer:
    """One per process; made on first use and remade after a failure.

    `heeds`: by topic, who is told of each batch that Kafka has acknowledged.
    """

    def __init__(self, settings: KafkaSettings, *, client_id: str) -> None:
        self._settings = settings
        self._client_id = client_id
        self.heeds: dict[str, Heed] = {}
        self._producer: AIOKafkaProducer | None = None
        self._making = asyncio.Lock()

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Return when Kafka has acknowledged all of them. Raises KafkaError or TimeoutError: some may be missing."""
        producer: AIOKafkaProducer | None = None
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                producer = await self._ready()
                topics = {one.topic for one in records}
                partitions = {topic: sorted(await producer.partitions_for(topic)) for topic in topics}
                sent = []
                for place, batch, within in _batches(records, partitions, producer.create_batch):
                    sent.append(await producer.send_batch(batch, place.topic, partition=place.partition))
                    if heed := self.heeds.get(place.topic):
                        sent[-1].add_done_callback(partial(_tell, heed, place, batch, within))
                await asyncio.gather(*sent)
        except BaseException:
            if producer and producer is self._producer:
                await self.close()
            raise

    async def close(self) -> None:
        """Throw the producer away."""
        producer, self._producer = self._producer, None
        if producer:
            with suppress(KafkaError, TimeoutError, OSError):
                await asyncio.wait_for(producer.stop(), STOP_TIMEOUT_S)

    async def _ready(self) -> AIOKafkaProducer:
        async with self._making:  # two loops may ask at once; a second producer would be nobody's
            if self._producer is None:
                self._producer = await self._make()
            return self._producer

    async def _make(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            **client_options(self._settings),
            client_id=self._client_id,
            enable_idempotence=True,
            acks="all",
            linger_ms=2,
            max_batch_size=MAX_BATCH_BYTES,
            max_request_size=MAX_REQUEST_BYTES,
            request_timeout_ms=20_000,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer


def _tell(
    heed: Heed, place: TopicPartition, batch: BatchBuilder, records: Sequence[Outgoing], sent: asyncio.Future[Any]
) -> None:
    # A batch that was sent twice and of which Kafka does not remember where it is, has no offset.
    if not sent.cancelled() and not sent.exception() and (first := sent.result().offset) >= 0:
        heed(Published(place, first, records, memoryview(batch._build())))  # built when it was sent


def _batches(
    records: Sequence[Outgoing], partitions: Mapping[str, list[int]], new_batch: Callable[[], BatchBuilder]
) -> list[tuple[TopicPartition, BatchBuilder, list[Outgoing]]]:
    """The records in full batches, in their order within a partition, each with its records.

    Sending record by record costs four times as much: a future, a wait and a look at the metadata for each.
    """
    now_ms = int(time.time() * 1000)
    batches: list[tuple[TopicPartition, BatchBuilder, list[Outgoing]]] = []
    for partition, of_partition in _by_partition(records, partitions).items():
        begin = 0
        while begin < len(of_partition):
            batch = new_batch()  # an empty one takes any record, whatever its size
            taken = (
                batch.append(timestamp=now_ms, key=one.key, value=one.value, headers=one.headers)
                for one in of_partition[begin:]
            )
            end = next((place for place, one in enumerate(taken, begin) if one is None), len(of_partition))
            batches.append((partition, batch, of_partition[begin:end]))
            begin = end
    return batches


def _by_partition(
    records: Sequence[Outgoing], partitions: Mapping[str, list[int]]
) -> dict[TopicPartition, list[Outgoing]]:
    """Keys go where Java's clients put them."""
    found: dict[TopicPartition, list[Outgoing]] = {}
    for topic, known in partitions.items():
        places = [found.setdefault(TopicPartition(topic, number), []) for number in known]
        of_topic = [one for one in records if one.topic == topic]
        hashes = iter(murmur2([one.key for one in of_topic if one.key is not None]))
        for one in of_topic:
            place = choice(places) if one.key is None else places[next(hashes) % len(places)]  # noqa: S311  # any will do
            place.append(one)
    return {place: within for place, within in found.items() if within}
