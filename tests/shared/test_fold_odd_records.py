"""Records that Kafka takes and clients stumble over: each costs itself at most, and never another one."""

import base64
import json
from dataclasses import replace

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient

from schemas.topics import LINKER_DLQ, Topic
from shared import topics
from shared.announce_dead_letters import dead_letter_announcer
from shared.database import Database
from shared.kafka import plain
from shared.producer import Outgoing, Producer
from tests.shared.folding import publish, running_process, topic_ends, until, until_read
from tests.shared.raw_records import GZIP, NotText, Raw, batch_of, misread_batch_of, publish_batch
from tests.shared.things import Things, a_record, a_topic


def _raw(record: Outgoing, *more: tuple[str, bytes | None]) -> Raw:
    assert record.key is not None
    return Raw(record.key, record.value, [*record.headers, *more])


@pytest.mark.parametrize("compression", [0, GZIP])
async def test_a_header_name_that_is_no_text_costs_nothing_or_its_own_record(
    things: Things, kafka_bootstrap_servers: str, *, compression: int
) -> None:
    place = TopicPartition(things.topic.name, 1)
    broken = a_record(things.topic, "R2")
    records = [
        *(_raw(a_record(things.topic, f"A{number}")) for number in range(20)),
        _raw(a_record(things.topic, "R1"), (NotText("x-tracé"), b"1")),
        _raw(broken, (NotText("CE_tracé"), b"2"), ("x\0", None)),
        *(_raw(a_record(things.topic, f"B{number}")) for number in range(20)),
    ]

    await publish_batch(kafka_bootstrap_servers, place, batch_of(records, compression=compression))
    async with running_process(things, kafka_bootstrap_servers, batch_records=15):
        await until_read(things, kafka_bootstrap_servers)
        await publish_batch(kafka_bootstrap_servers, place, batch_of([_raw(a_record(things.topic, "last"))]))
        await until_read(things, kafka_bootstrap_servers)

    assert await things.dead_letters() == [("bad_header", "the name of a ce_ header is not ASCII")]
    (kept,) = await things.rows('select key, value, headers, "offset" from dead_letter')
    assert (kept["offset"], kept["key"], kept["value"]) == (21, b"R2", broken.value)
    headers = [
        (base64.b64decode(name), value and base64.b64decode(value)) for name, value in json.loads(kept["headers"])
    ]
    assert headers[-2:] == [(b"CE_trac\xe9", b"2"), (b"x\0", None)]
    neighbours = {f"{letter}{number}" for letter in "AB" for number in range(20)}
    assert set(await things.versions()) == {"R1", "last", *neighbours}
    assert (await things.applied(), await things.times_applied()) == (42, {1})


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
async def test_records_are_read_however_their_publisher_compresses_them(
    things: Things, kafka_bootstrap_servers: str, compression: str
) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=kafka_bootstrap_servers, compression_type=compression)
    await producer.start()
    try:
        for number in range(20):
            record = a_record(things.topic, f"R{number}")
            await producer.send_and_wait(record.topic, record.value, key=record.key, headers=list(record.headers))
    finally:
        await producer.stop()

    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)

    assert set(await things.versions()) == {f"R{number}" for number in range(20)}


async def test_a_record_that_the_client_cannot_read_takes_no_other_partition_with_it(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    """Its poll fails in the middle: what aiokafka had already taken from the other partition must be read again."""
    name = things.topic.name
    for round_number in range(3):
        async with running_process(things, kafka_bootstrap_servers, service="misread", batch_records=50):
            for version in (round_number + 1, round_number + 11):
                await publish(
                    kafka_bootstrap_servers, [a_record(things.topic, f"R{number}", version) for number in range(30)]
                )
                if round_number == 1 and version == 2:
                    batch = misread_batch_of(Raw(b"R1", b" " * 200))
                    await publish_batch(kafka_bootstrap_servers, TopicPartition(name, 1), batch)

            async def first_partition_read() -> bool:
                ends = await topic_ends(kafka_bootstrap_servers, name)
                return (await things.positions()).get(0) == ends[TopicPartition(name, 0)]

            await until(first_partition_read)

    in_first = await things.rows("select count(*) from applied where partition = 0")
    ends = await topic_ends(kafka_bootstrap_servers, name)
    assert in_first[0]["count"] == ends[TopicPartition(name, 0)]
    assert await things.times_applied() == {1}
    # The second partition stands before the record and skips nothing of it.
    rows = await things.rows('select max("offset") + 1 as next from applied where partition = 1')
    assert rows[0]["next"] == (await things.positions())[1] < ends[TopicPartition(name, 1)]


async def test_another_bad_record_at_the_place_of_an_old_one_is_kept_too(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    """The topic was made anew, so its offsets say nothing; the same record read again is still the same."""
    dlq = replace(LINKER_DLQ, name=a_topic().name, partitions=1)
    await topics.apply(kafka_bootstrap_servers, [dlq])
    place = TopicPartition(things.topic.name, 0)
    for value in (b"{", b"["):
        await _make_anew(things, kafka_bootstrap_servers)
        await publish_batch(kafka_bootstrap_servers, place, batch_of([Raw(b"R1", value)]))
        for _ in range(2):
            await things.change("update position set next_offset = 0")
            async with running_process(things, kafka_bootstrap_servers):
                await until_read(things, kafka_bootstrap_servers)
            await _announce(things, dlq, kafka_bootstrap_servers)

    kept = await things.rows(
        'select "offset", value, published_at is null as waits from dead_letter order by failed_at'
    )
    assert [tuple(row.values()) for row in kept] == [(0, b"{", False), (0, b"[", False)]
    assert sum((await topic_ends(kafka_bootstrap_servers, dlq.name)).values()) == 2


async def _make_anew(things: Things, servers: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers)
    await admin.start()
    await admin.delete_topics([things.topic.name])
    await admin.close()

    async def made_again() -> bool:
        try:
            await topics.apply(servers, [things.topic])
        except topics.TopicsError:
            return False
        return sum((await topic_ends(servers, things.topic.name)).values()) == 0

    await until(made_again)


async def _announce(things: Things, dlq: Topic, servers: str) -> None:
    database = Database(things.url, pool_size=2)
    producer = Producer(plain(servers), client_id="test")
    announcer = dead_letter_announcer(dlq, database, producer)
    while await announcer.step() is not None:
        pass
    await producer.close()
    await database.close()
