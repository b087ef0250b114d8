"""The fold on topics with holes: compacted, transactional, expired. No loop, no gap, nothing skipped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from shared.kafka import plain
from shared.producer import Producer
from tests.shared.folding import publish, running_process, topic_ends, until, until_read
from tests.shared.things import Things, a_record, a_topic

SEGMENT_MS = 100
COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": str(SEGMENT_MS),
    "min.cleanable.dirty.ratio": "0.01",
    "min.compaction.lag.ms": "0",
    "max.compaction.lag.ms": "100",
    "delete.retention.ms": "0",
}


@asynccontextmanager
async def _admin(servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


@pytest.fixture
async def compacted(things: Things, kafka_bootstrap_servers: str) -> Things:
    """A topic of one partition, whose cleaner does not wait."""
    topic = a_topic(partitions=1)
    async with _admin(kafka_bootstrap_servers) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", {"log.cleaner.backoff.ms": "100"})])
        await admin.create_topics([NewTopic(topic.name, 1, 1, topic_configs=COMPACTED)])
    return Things(things.url, topic)


async def _offsets(things: Things, servers: str) -> list[int]:
    """Of all records that the topic still has."""
    end = (await topic_ends(servers, things.topic.name))[TopicPartition(things.topic.name, 0)]
    reader = AIOKafkaConsumer(things.topic.name, bootstrap_servers=servers, auto_offset_reset="earliest")
    await reader.start()
    found: list[int] = []
    try:
        while await reader.position(TopicPartition(things.topic.name, 0)) < end:
            for records in (await reader.getmany(timeout_ms=200)).values():
                found += [record.offset for record in records]
    finally:
        await reader.stop()
    return found


async def _with_holes(things: Things, servers: str) -> list[int]:
    """Many versions of few recordings, compacted until most of them are gone. Returns the offsets that are left."""
    for version in range(1, 9):
        names = [f"R{number:03}" for number in range(60) if version == 1 or number % version == 0]
        await publish(servers, [a_record(things.topic, name, version) for name in names])
        await asyncio.sleep(2 * SEGMENT_MS / 1000)
    left: list[int] = []

    async def has_holes() -> bool:
        # A record at the end lets the last segment be closed.
        await publish(servers, [a_record(things.topic, "last")])
        left[:] = await _offsets(things, servers)
        return len(left) < 90

    await until(has_holes)
    return left


async def test_a_compacted_topic_is_folded_without_a_loop_and_without_a_gap(
    compacted: Things, kafka_bootstrap_servers: str
) -> None:
    left = await _with_holes(compacted, kafka_bootstrap_servers)
    assert left != list(range(left[0], left[0] + len(left)))

    async with running_process(compacted, kafka_bootstrap_servers, batch_records=7, own=True) as process:
        await asyncio.wait_for(process.gate.wait_open(), 30)
        await until_read(compacted, kafka_bootstrap_servers)

    versions = await compacted.versions()
    assert versions.pop("last") == 1
    assert versions == {
        f"R{number:03}": max(version for version in range(1, 9) if version == 1 or number % version == 0)
        for number in range(60)
    }
    assert await compacted.times_applied() == {1}
    assert await compacted.positions() == {0: left[-1] + 1}


async def test_a_topic_that_is_compacted_while_it_is_read_loses_nothing(
    compacted: Things, kafka_bootstrap_servers: str
) -> None:
    async with running_process(compacted, kafka_bootstrap_servers, batch_records=3):
        await _with_holes(compacted, kafka_bootstrap_servers)
        await compacted.change("update position set next_offset = 1")
        await _with_holes(compacted, kafka_bootstrap_servers)
        await until_read(compacted, kafka_bootstrap_servers)

    versions = await compacted.versions()
    assert (versions["R000"], versions["R056"], versions["R059"]) == (8, 8, 1)


async def test_the_end_marks_of_transactions_are_passed(things: Things, kafka_bootstrap_servers: str) -> None:
    """The last offset of the topic holds no record: the gate opens all the same, and positions reach the end."""
    name = things.topic.name
    await publish(kafka_bootstrap_servers, [a_record(things.topic, f"R{n}") for n in range(20)], transactional_id=name)

    async with running_process(things, kafka_bootstrap_servers, own=True) as process:
        await asyncio.wait_for(process.gate.wait_open(), 20)
        await until_read(things, kafka_bootstrap_servers)
        await publish(
            kafka_bootstrap_servers, [a_record(things.topic, f"R{n}", 2) for n in range(20)], transactional_id=name
        )
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (40, {1})
    assert set((await things.versions()).values()) == {2}


async def test_what_was_never_committed_is_not_applied(things: Things, kafka_bootstrap_servers: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap_servers, transactional_id=things.topic.name)
    await producer.start()
    await producer.begin_transaction()
    for number in range(20):
        record = a_record(things.topic, f"R{number}", 9)
        await producer.send_and_wait(record.topic, record.value, key=record.key)
    await producer.abort_transaction()
    await producer.stop()
    await publish(kafka_bootstrap_servers, [a_record(things.topic, f"R{number}") for number in range(3)])

    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)

    assert await things.versions() == {"R0": 1, "R1": 1, "R2": 1}


async def test_records_that_have_expired_are_passed(things: Things, kafka_bootstrap_servers: str) -> None:
    topic = things.topic.name
    await publish(kafka_bootstrap_servers, [a_record(things.topic, f"R{number}") for number in range(40)])
    async with _admin(kafka_bootstrap_servers) as admin:
        await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": "delete"})])
        await admin.delete_records(
            {
                place: _RecordsToDelete(end - (0 if place.partition else 2))
                for place, end in (await topic_ends(kafka_bootstrap_servers, topic)).items()
            }
        )

    async with running_process(things, kafka_bootstrap_servers, own=True) as process:
        await asyncio.wait_for(process.gate.wait_open(), 20)
        await until_read(things, kafka_bootstrap_servers)

    assert await things.applied() == 2


async def test_a_record_larger_than_what_is_read_of_a_partition_at_once_is_folded_all_the_same(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    small = [a_record(things.topic, f"R{number}") for number in range(20)]
    large = [
        one._replace(value=one.value[:-1] + b',"unknown":"' + b"x" * 3_500_000 + b'"}')
        for one in (a_record(things.topic, f"L{number}") for number in range(4))
    ]
    producer = Producer(plain(kafka_bootstrap_servers), client_id="test")
    await producer.publish([*small[:10], *large, *small[10:]])
    await producer.close()

    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)

    assert await things.applied() == 24


class _RecordsToDelete:
    """aiokafka wants an object with this attribute."""

    def __init__(self, before_offset: int) -> None:
        self.before_offset = before_offset
