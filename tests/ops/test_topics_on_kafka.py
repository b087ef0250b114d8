"""Topics are made and corrected on a genuine Kafka, and never changed in a way that loses records."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from schemas.topics import RECORDING_PROCESSED, TICKET_SYNC_REQUESTED, Topic
from shared import topics
from shared.kafka import plain
from shared.kafka_itself import kafka_itself
from shared.producer import Outgoing, Producer

# Feature levels of metadata.version: https://kafka.apache.org/documentation, MetadataVersion.
LEVEL_OF_KAFKA_3_9 = 21
LEVEL_OF_NO_RELEASE_YET = 100


@asynccontextmanager
async def admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def publish(bootstrap_servers: str, topic: str, *values: bytes) -> None:
    producer = Producer(plain(bootstrap_servers), client_id="test")
    await producer.publish([Outgoing(topic, b"one key", value, []) for value in values])
    await producer.close()


async def first_findings(bootstrap_servers: str, topic: Topic) -> list[str]:
    while True:
        if found := await topics.check(bootstrap_servers, [topic]):
            return found
        await asyncio.sleep(0.05)  # the broker takes a moment to know what was altered


async def test_applying_twice_creates_once_and_leaves_nothing_to_find(kafka_bootstrap_servers: str) -> None:
    wanted = [replace(RECORDING_PROCESSED, name=f"{uuid4()}"), replace(TICKET_SYNC_REQUESTED, name=f"{uuid4()}")]

    before = await topics.check(kafka_bootstrap_servers, wanted)
    first = await topics.apply(kafka_bootstrap_servers, wanted)
    second = await topics.apply(kafka_bootstrap_servers, wanted)
    after = await topics.check(kafka_bootstrap_servers, wanted)

    assert before == [f"{topic.name}: does not exist" for topic in wanted]
    assert sorted(first) == sorted(f"{topic.name}: created" for topic in wanted)
    assert second == []
    assert after == []


async def test_settings_are_corrected_and_those_of_others_are_kept(kafka_bootstrap_servers: str) -> None:
    topic = replace(TICKET_SYNC_REQUESTED, name=f"{uuid4()}")
    await topics.apply(kafka_bootstrap_servers, [topic])
    async with admin(kafka_bootstrap_servers) as kafka:
        theirs = {"retention.ms": "1000000", "segment.ms": "3600000"}
        await kafka.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name, topic.config() | theirs)])

        found = await first_findings(kafka_bootstrap_servers, topic)
        done = await topics.apply(kafka_bootstrap_servers, [topic])

        assert found == [f"{topic.name}: retention.ms is 1000000, declared 2592000000"]
        assert done == [f"{topic.name}: retention.ms was 1000000, is 2592000000"]
        assert await topics.check(kafka_bootstrap_servers, [topic]) == []
        [answer] = await kafka.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic.name)])
        assert {entry[0]: entry[1] for entry in answer.resources[0][4]}["segment.ms"] == "3600000"


async def test_too_few_partitions_are_told_and_never_changed(kafka_bootstrap_servers: str) -> None:
    three = replace(RECORDING_PROCESSED, name=f"{uuid4()}", partitions=3)
    twelve = replace(three, partitions=12)
    await topics.apply(kafka_bootstrap_servers, [three])

    done = await topics.apply(kafka_bootstrap_servers, [twelve])

    assert done == []
    assert await topics.check(kafka_bootstrap_servers, [twelve]) == [f"{three.name}: has 3 partitions, declared 12"]
    assert await topics.check(kafka_bootstrap_servers, [replace(three, partitions=2)]) == []


async def test_the_ends_are_the_offsets_after_the_last_records(kafka_bootstrap_servers: str) -> None:
    topic = replace(RECORDING_PROCESSED, name=f"{uuid4()}", partitions=2)
    await topics.apply(kafka_bootstrap_servers, [topic])
    await publish(kafka_bootstrap_servers, topic.name, b"1", b"2", b"3")

    ends = await topics.ends(kafka_bootstrap_servers, [topic.name, "no such topic"])
    extents = await topics.extents(kafka_bootstrap_servers, [topic.name])

    assert sorted(ends.values()) == [0, 3]
    assert sorted(map(len, extents.values())) == [0, 3]


async def test_kafka_tells_its_release_and_its_time(kafka_bootstrap_servers: str) -> None:
    """The time moves with the clock of this machine, which the broker shares: an old one would be some other field."""
    before = datetime.now(UTC)
    first = await kafka_itself(plain(kafka_bootstrap_servers))
    second = await kafka_itself(plain(kafka_bootstrap_servers))
    after = datetime.now(UTC)

    assert LEVEL_OF_KAFKA_3_9 <= first.metadata_level == second.metadata_level < LEVEL_OF_NO_RELEASE_YET
    assert before - timedelta(seconds=1) <= first.now <= second.now <= after
