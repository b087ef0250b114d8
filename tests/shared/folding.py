"""Folds on genuine Kafka: processes of the service of tests.shared.things, and what a test publishes for them."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

from aiokafka import AIOKafkaProducer, TopicPartition
from faststream.kafka import KafkaBroker

from shared import consumer
from shared.batch import Apply
from shared.cancelling import cancelled
from shared.database import Database
from shared.dead_letter_limit import DeadLetterLimit
from shared.fold import Fold
from shared.gate import Gate
from shared.kafka import broker_options, plain
from shared.producer import Outgoing
from shared.topics import ends
from tests.shared.things import Things, fold_things, forget_heard

WITHIN_S = 90.0


@dataclass
class Process:
    """One process that folds: `woken` are the loops that the fold has woken."""

    database: Database
    gate: Gate
    fold: Fold
    watching: asyncio.Task[None]
    woken: list[str] = field(default_factory=list)


async def topic_ends(servers: str, topic: str) -> dict[TopicPartition, int]:
    return {TopicPartition(*place): end for place, end in (await ends(servers, [topic])).items()}


@asynccontextmanager
async def running_process(
    things: Things,
    servers: str,
    *,
    apply: Apply = fold_things,
    own: bool = False,
    needs_gate: bool = False,
    batch_records: int = 500,
    service: str | None = None,
    limit_percent: int = 50,
) -> AsyncIterator[Process]:
    """A consumer of `things.topic`, with its gate. `service` names the consumer group that processes share."""
    database = Database(things.url, pool_size=6)
    gate = Gate(database, [things.topic.name], lambda: topic_ends(servers, things.topic.name))
    woken: list[str] = []
    fold = Fold(
        service=service or f"test-{uuid4().hex}",
        topic=things.topic,
        apply=apply,
        database=database,
        gate=gate,
        wake=woken.append,
        batch_records=batch_records,
        limit=DeadLetterLimit(things.topic.name, percent=limit_percent),
        own=own,
        forget_heard=forget_heard if own else None,
        needs_gate=needs_gate,
    )
    broker = KafkaBroker(
        **broker_options(plain(servers)), consumer_only=True, allow_auto_create_topics=False, logger=None
    )
    fold.subscribe(broker)
    keeping = asyncio.create_task(gate.keep())
    await consumer.start(broker)
    watching = asyncio.create_task(fold.watch())
    try:
        yield Process(database, gate, fold, watching, woken)
    finally:
        await cancelled([watching, keeping])
        await fold.stop()
        await broker.stop()
        await database.close()


async def publish(servers: str, records: Sequence[Outgoing], *, transactional_id: str | None = None) -> None:
    """In this order, by hash of the key; as one transaction if it has an id."""
    producer = AIOKafkaProducer(bootstrap_servers=servers, linger_ms=5, transactional_id=transactional_id)
    await producer.start()
    try:
        if transactional_id:
            async with producer.transaction():
                await _send(producer, records)
        else:
            await _send(producer, records)
    finally:
        await producer.stop()


async def until(condition: Callable[[], Awaitable[object]], *, within_s: float = WITHIN_S) -> None:
    """Wait for it; a failure shows its last value."""
    ends_at = time.monotonic() + within_s
    while not (value := await condition()):
        assert time.monotonic() < ends_at, f"not within {within_s:.0f} s: {value!r}"
        await asyncio.sleep(0.05)


async def until_read(things: Things, servers: str) -> None:
    """Wait until the positions are where the topic ends."""

    async def read_up() -> bool:
        wanted = {place.partition: end for place, end in (await topic_ends(servers, things.topic.name)).items() if end}
        have = await things.positions()
        return all(have.get(partition) == end for partition, end in wanted.items())

    await until(read_up)


async def _send(producer: AIOKafkaProducer, records: Sequence[Outgoing]) -> None:
    sent = [await producer.send(one.topic, one.value, key=one.key, headers=list(one.headers)) for one in records]
    await asyncio.gather(*sent)
