"""What is published together arrives whole and in order, in batches as full as they can be."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaConsumer

from schemas.topics import Topic
from shared import topics
from shared.kafka import asking_options, plain, started
from shared.producer import Outgoing, Producer, Published
from tests.shared.things import a_topic

pytestmark = pytest.mark.servers


@pytest.fixture
async def topic(kafka_bootstrap_servers: str) -> Topic:
    """Not a compacted one, which takes no record without a key."""
    made = replace(a_topic(), cleanup="delete")
    await topics.apply(kafka_bootstrap_servers, [made])
    return made


@pytest.fixture
async def producer(kafka_bootstrap_servers: str) -> AsyncIterator[Producer]:
    made = Producer(plain(kafka_bootstrap_servers), client_id="test")
    yield made
    await made.close()


async def test_what_does_not_fit_into_a_batch_follows_in_the_next(
    topic: Topic, kafka_bootstrap_servers: str, producer: Producer
) -> None:
    heard: list[Published] = []
    producer.heeds[topic.name] = heard.append
    small = [f"{number:04}".encode() * 2_500 for number in range(150)]
    values = [*small[:30], b"large" * 300_000, *small[30:]]

    await producer.publish([Outgoing(topic.name, b"R1", value, []) for value in values])

    assert await _values(topic, kafka_bootstrap_servers, len(values)) == values
    # 99 of 10,000 bytes each and their own lengths are what a million holds.
    assert [len(one.records) for one in heard] == [30, 1, 99, 21]
    assert [one.first_offset for one in heard] == [0, 30, 31, 130]
    assert [record.value for one in heard for record in one.records] == values


async def test_what_has_no_key_goes_to_any_partition(topic: Topic, producer: Producer) -> None:
    heard: list[Published] = []
    producer.heeds[topic.name] = heard.append

    await producer.publish([Outgoing(topic.name, None, b"value", []) for _ in range(100)])

    assert {one.partition.partition for one in heard} == {0, 1}
    assert sum(len(one.records) for one in heard) == 100


async def test_what_has_no_key_leaves_the_others_where_they_belong(topic: Topic, producer: Producer) -> None:
    heard: list[Published] = []
    producer.heeds[topic.name] = heard.append
    keys = [f"R{number}".encode() for number in range(50)]

    for keyless in (0, 3):
        await producer.publish([Outgoing(topic.name, key, b"", []) for one in keys for key in [*[None] * keyless, one]])

    found = [{(one.partition, record.key) for record in one.records if record.key} for one in heard]
    assert found[0] | found[1] == found[2] | found[3]
    assert len(found[0]) + len(found[1]) == 50


async def _values(topic: Topic, kafka_bootstrap_servers: str, number: int) -> list[bytes]:
    """Of so many records, in the order of their partition."""
    options = asking_options(plain(kafka_bootstrap_servers)) | {"auto_offset_reset": "earliest"}
    found: list[bytes] = []
    async with started(AIOKafkaConsumer(topic.name, **options)) as consumer:
        while len(found) < number:
            for records in (await consumer.getmany(timeout_ms=100)).values():
                found += [record.value for record in records]
    return found
