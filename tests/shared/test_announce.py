"""The announcer on genuine Kafka: the topic's last word is the newest fact, whatever was lost or overtaken."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaConnectionError, KafkaTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import Topic
from shared import announce, topics
from shared.announce import Announcer
from shared.announce_dead_letters import dead_letter_announcer
from shared.gate import GateClosed
from shared.kafka import plain
from shared.producer import Outgoing, Producer
from shared.reconcile import Loop
from tests.shared.folding import Process, publish, running_process, topic_ends, until, until_read
from tests.shared.things import Things, a_record, a_topic, facts, unheard


class Slow(Producer):
    """Genuine, but stops before it sends, as a process that gets SIGSTOP; or loses the acknowledgement."""

    def __init__(self, servers: str) -> None:
        super().__init__(plain(servers), client_id="slow")
        self.stopped = asyncio.Event()
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.lose_acknowledgements = 0
        self.published = 0

    async def publish(self, records: Sequence[Outgoing]) -> None:
        self.stopped.set()
        await self.go_on.wait()
        await super().publish(records)
        self.published += len(records)
        if self.lose_acknowledgements:
            self.lose_acknowledgements -= 1
            raise KafkaTimeoutError


def _announcer(things: Things, process: Process, producer: Producer, *, again_s: float = 30) -> Announcer:
    return Announcer(
        "announce", process.database, process.gate, producer, unheard, partial(facts, topic=things.topic), again_s
    )


@asynccontextmanager
async def _announcing(announcer: Announcer) -> AsyncIterator[None]:
    loop = Loop("announce", announcer.step, beat_s=0.05)
    running = asyncio.create_task(loop.run())
    try:
        yield
    finally:
        loop.stop()
        await running


@pytest.fixture
async def producer(kafka_bootstrap_servers: str) -> AsyncIterator[Slow]:
    producer = Slow(kafka_bootstrap_servers)
    yield producer
    producer.go_on.set()
    await producer.close()


@pytest.fixture
async def process(things: Things, kafka_bootstrap_servers: str) -> AsyncIterator[Process]:
    async with running_process(things, kafka_bootstrap_servers, own=True) as process:
        await process.gate.wait_open()
        yield process


async def _last_words(servers: str, topic: Topic) -> dict[str, int]:
    """By key, the version of the last record by offset."""
    ends = await topic_ends(servers, topic.name)
    reader = AIOKafkaConsumer(topic.name, bootstrap_servers=servers, auto_offset_reset="earliest")
    await reader.start()
    found: dict[str, int] = {}
    try:
        while [one for one, end in ends.items() if await reader.position(one) < end]:
            for records in (await reader.getmany(timeout_ms=100)).values():
                for record in records:
                    headers: dict[str, bytes] = dict(record.headers)
                    found[record.key.decode()] = int(headers["ce_id"].rpartition(b":")[2])
    finally:
        await reader.stop()
    return found


async def _all_heard(things: Things) -> bool:
    return not await things.rows("select 1 from thing where heard <> version")


async def test_every_row_is_published_once_and_heard(
    things: Things, process: Process, producer: Slow, kafka_bootstrap_servers: str
) -> None:
    await things.change("insert into thing select 'R' || n, 2, 0 from generate_series(1, 300) n")

    async with _announcing(_announcer(things, process, producer)):
        await until(lambda: _all_heard(things))
        await asyncio.sleep(0.3)

    assert producer.published == 300
    assert await _last_words(kafka_bootstrap_servers, things.topic) == {f"R{n}": 2 for n in range(1, 301)}


async def test_what_is_due_goes_lot_by_lot_while_hearing_it_waits(
    things: Things, process: Process, producer: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "LOT", 100)
    await things.change("insert into thing select 'R' || n, 2, 0 from generate_series(1, 250) n")
    announcer = _announcer(things, process, producer)
    process.fold.after = announcer.at_rest
    producer.go_on.clear()

    publishing = asyncio.create_task(announcer.step())
    await producer.stopped.wait()
    at_rest_meanwhile = announcer.at_rest.is_set()
    producer.go_on.set()

    assert await publishing == 0
    assert not at_rest_meanwhile
    assert producer.published == 250
    await until(lambda: _all_heard(things))
    assert await announcer.step() is None


async def test_hearing_goes_on_beside_lots_that_take_long(
    things: Things, process: Process, producer: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was published would seem lost, and a consumer that folds nothing for minutes to hang."""
    monkeypatch.setattr(announce, "LOT", 100)
    monkeypatch.setattr(announce, "HURRY_S", 0.0)
    await things.change("insert into thing select 'R' || n, 2, 0 from generate_series(1, 250) n")
    announcer = _announcer(things, process, producer)
    process.fold.after = announcer.at_rest
    at_rest: list[bool] = []

    async def looked_at(connection: AsyncConnection, keys: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
        at_rest.append(announcer.at_rest.is_set())
        return await facts(connection, keys, topic=things.topic)

    announcer.facts = looked_at

    assert await announcer.step() == 0
    assert at_rest == [True, False, True]
    await until(lambda: _all_heard(things))


async def test_what_kafka_refuses_among_many_lots_is_published_again(
    things: Things, process: Process, producer: Slow, monkeypatch: pytest.MonkeyPatch, kafka_bootstrap_servers: str
) -> None:
    monkeypatch.setattr(announce, "LOT", 100)
    await things.change("insert into thing select 'R' || n, 2, 0 from generate_series(1, 250) n")
    announcer = _announcer(things, process, producer)
    producer.lose_acknowledgements = 1

    first, at_rest = await announcer.step(), announcer.at_rest.is_set()
    async with _announcing(announcer):
        await until(lambda: _all_heard(things))

    assert (first, at_rest) == (1.0, True)
    assert await _last_words(kafka_bootstrap_servers, things.topic) == {f"R{n}": 2 for n in range(1, 251)}


async def test_a_lot_is_published_to_its_end_though_the_gate_closes_before_the_next(
    things: Things, process: Process, producer: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announce, "LOT", 100)
    await things.change("insert into thing select 'R' || n, 2, 0 from generate_series(1, 250) n")
    announcer = _announcer(things, process, producer)
    producer.go_on.clear()

    async def closed(connection: AsyncConnection, keys: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
        if producer.stopped.is_set():
            raise GateClosed
        return await facts(connection, keys, topic=things.topic)

    announcer.facts = closed
    publishing = asyncio.create_task(announcer.step())
    await producer.stopped.wait()
    producer.go_on.set()

    with pytest.raises(GateClosed):
        await publishing
    assert (producer.published, announcer.at_rest.is_set()) == (100, True)


async def test_a_lost_acknowledgement_costs_a_repeat_at_most(
    things: Things, process: Process, producer: Slow, kafka_bootstrap_servers: str
) -> None:
    await things.change("insert into thing values ('R1', 1, 0)")
    producer.lose_acknowledgements = 1

    async with _announcing(_announcer(things, process, producer)):
        await until(lambda: _all_heard(things))

    assert producer.published <= 2
    assert await _last_words(kafka_bootstrap_servers, things.topic) == {"R1": 1}


async def test_an_announcer_that_was_stopped_and_overtaken_does_not_have_the_last_word(
    things: Things, process: Process, producer: Slow, kafka_bootstrap_servers: str
) -> None:
    """The first takes version 1 and is stopped before it sends; the second publishes version 2; the first goes on."""
    await things.change("insert into thing values ('R1', 1, 0)")
    first, second = _announcer(things, process, producer), _announcer(things, process, Slow(kafka_bootstrap_servers))
    producer.go_on.clear()
    stopped = asyncio.create_task(first.step())
    await producer.stopped.wait()
    await things.change("update thing set version = 2; delete from lease")
    async with _announcing(second):
        await until(lambda: _all_heard(things))
        producer.go_on.set()
        await stopped
        await until_read(things, kafka_bootstrap_servers)
        await until(lambda: _all_heard(things))
        await until_read(things, kafka_bootstrap_servers)
    await second.producer.close()

    assert await _last_words(kafka_bootstrap_servers, things.topic) == {"R1": 2}
    ends = await topic_ends(kafka_bootstrap_servers, things.topic.name)
    assert sum(ends.values()) == 3  # version 2, the late version 1, and version 2 again


async def test_what_was_not_heard_for_long_is_published_again(things: Things, process: Process, producer: Slow) -> None:
    await things.change("insert into thing values ('R1', 1, 0)")
    announcer = _announcer(things, process, producer)
    await announcer.step()
    await until(lambda: _all_heard(things))
    await things.change("update thing set heard = 0")

    at_once = await announcer.step()
    published_at_first = producer.published
    announcer.again_s = 0  # as if that time had passed
    await announcer.step()

    assert at_once is not None
    assert 0 < at_once < 0.06
    assert (published_at_first, producer.published) == (1, 2)


async def test_only_one_process_announces_at_a_time(things: Things, process: Process, producer: Slow) -> None:
    await things.change("insert into thing values ('R1', 1, 0)")
    first, second = (_announcer(things, process, producer) for _ in range(2))
    producer.go_on.clear()
    holding = asyncio.create_task(first.step())
    await producer.stopped.wait()

    refused = await second.step()
    producer.go_on.set()
    await holding

    assert refused == 5.0
    assert producer.published == 1


async def test_nothing_is_announced_while_the_gate_is_closed(things: Things, process: Process, producer: Slow) -> None:
    await things.change("insert into thing values ('R1', 1, 0)")
    process.gate.close("for the test")

    with pytest.raises(GateClosed):
        await _announcer(things, process, producer).step()

    assert producer.published == 0


async def test_a_kafka_that_is_gone_is_waited_for(things: Things, process: Process) -> None:
    await things.change("insert into thing values ('R1', 1, 0)")
    nowhere = Producer(plain("127.0.0.1:9"), client_id="nowhere")

    assert await _announcer(things, process, nowhere).step() == 1.0


async def test_the_producer_is_idempotent_and_made_once(kafka_bootstrap_servers: str, things: Things) -> None:
    producer = Producer(plain(kafka_bootstrap_servers), client_id="options")
    await asyncio.gather(*(producer.publish([a_record(things.topic, f"R{n}")]) for n in range(10)))
    made: Any = producer._producer
    read_back = {
        "idempotent": made._txn_manager is not None,
        "acks": made._sender._acks,
        "batch_bytes": made._message_accumulator._batch_size,
        "request_bytes": made._max_request_size,
    }
    await producer.publish([a_record(things.topic, "R1", 2)])
    same = producer._producer is made
    await producer.close()

    assert read_back == {"idempotent": True, "acks": -1, "batch_bytes": 1_000_000, "request_bytes": 6_000_000}
    assert same


async def test_a_producer_that_failed_is_replaced(kafka_bootstrap_servers: str, things: Things) -> None:
    producer = Producer(plain(kafka_bootstrap_servers), client_id="failing")
    await producer.publish([a_record(things.topic, "R1")])
    made: Any = producer._producer
    await made.stop()

    with pytest.raises((KafkaConnectionError, Exception)):
        await producer.publish([a_record(things.topic, "R1", 2)])
    await producer.publish([a_record(things.topic, "R1", 3)])

    assert producer._producer is not made
    await producer.close()
    assert await _last_words(kafka_bootstrap_servers, things.topic) == {"R1": 3}


async def test_a_dead_letter_goes_to_its_topic_with_where_it_came_from_and_why(
    things: Things, process: Process, producer: Slow, kafka_bootstrap_servers: str
) -> None:
    dead = a_topic(partitions=1)
    await topics.apply(kafka_bootstrap_servers, [dead])
    await publish(
        kafka_bootstrap_servers,
        [
            Outgoing(things.topic.name, b"R1", b"{", [("x", b"\xff")]),
            Outgoing(things.topic.name, b"R\x001", a_record(things.topic, "R2").value, []),
        ],
    )
    await until_read(things, kafka_bootstrap_servers)
    announcer = dead_letter_announcer(dead, process.database, producer)

    assert [await announcer.step(), await announcer.step()] == [0.25, None]

    reader = AIOKafkaConsumer(dead.name, bootstrap_servers=kafka_bootstrap_servers, auto_offset_reset="earliest")
    await reader.start()
    letters = [await reader.getone(), await reader.getone()]
    await reader.stop()
    told = [{name: value.decode() for name, value in letter.headers} for letter in letters]
    assert {(letter.key, letter.value) for letter in letters} == {
        (b"R1", b"{"),
        (b"R\x001", a_record(things.topic, "R2").value),
    }
    assert {one["reason"] for one in told} == {"malformed_json", "key_mismatch"}
    for one in told:
        assert one["topic"] == things.topic.name
        assert {"partition", "offset", "error", "time"} <= one.keys()


async def test_a_dead_letter_whose_acknowledgement_got_lost_is_published_again(
    things: Things, process: Process, producer: Slow, kafka_bootstrap_servers: str
) -> None:
    dead = a_topic(partitions=1)
    await topics.apply(kafka_bootstrap_servers, [dead])
    await publish(kafka_bootstrap_servers, [Outgoing(things.topic.name, b"R1", b"{", [])])
    await until_read(things, kafka_bootstrap_servers)
    announcer = dead_letter_announcer(dead, process.database, producer)
    producer.lose_acknowledgements = 1

    assert [await announcer.step() for _ in range(3)] == [1.0, 0.25, None]
    assert sum((await topic_ends(kafka_bootstrap_servers, dead.name)).values()) == 2
