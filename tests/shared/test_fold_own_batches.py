"""What a process has published itself comes back to it on genuine Kafka: heard unread, in order, and read if need be.

A record says of itself what its content does not, so that a test sees whether it was read.
"""

from collections.abc import AsyncIterator, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.kafka import plain
from shared.own_records import Skimmed
from shared.producer import Outgoing, Producer
from tests.shared.folding import Process, publish, running_process, until, until_read
from tests.shared.things import Things, a_record

UNREAD = "said by whoever published it"


@dataclass
class News:
    """What the fold has asked about, in order; `knows`: whether the rows know all of it."""

    knows: bool = True
    asked: list[Skimmed] = field(default_factory=list)

    async def __call__(self, skimmed: Sequence[Skimmed], _: AsyncConnection) -> Collection[int]:
        self.asked += skimmed
        return () if self.knows else range(len(skimmed))

    @property
    def unread(self) -> list[str]:
        return [one.key for one in self.asked if one.told_apart_by == UNREAD]


@pytest.fixture
def news() -> News:
    return News()


@asynccontextmanager
async def _heeding(things: Things, servers: str, news: News) -> AsyncIterator[tuple[Process, Producer]]:
    producer = Producer(plain(servers), client_id="own")
    async with running_process(things, servers, own=True) as process:
        await process.gate.wait_open()
        process.fold.news = news
        producer.heeds[things.topic.name] = process.fold.published
        try:
            yield process, producer
        finally:
            await producer.close()


def _own(things: Things, number: int, *, waited_for: bool = True) -> Outgoing:
    key = f"R{number:04}"
    return a_record(things.topic, key)._replace(says=Skimmed(key, (1,), UNREAD) if waited_for else None)


@contextmanager
def _held_back(process: Process) -> Iterator[None]:
    """What is published meanwhile is acknowledged before the consumer may have it."""
    consumer = process.fold.consumer
    assert consumer
    places = consumer.assignment()
    consumer.pause(*places)
    yield
    consumer.resume(*places)


async def test_own_batches_are_heard_without_being_read(
    things: Things, kafka_bootstrap_servers: str, news: News
) -> None:
    async with _heeding(things, kafka_bootstrap_servers, news) as (process, producer):
        with _held_back(process):
            await producer.publish([_own(things, number) for number in range(300)])
        await until_read(things, kafka_bootstrap_servers)

    assert sorted(news.unread) == [f"R{number:04}" for number in range(300)]
    assert len(news.asked) == 300
    assert await things.applied() == 0


async def test_own_batches_that_nobody_waits_for_are_passed(
    things: Things, kafka_bootstrap_servers: str, news: News
) -> None:
    async with _heeding(things, kafka_bootstrap_servers, news) as (process, producer):
        with _held_back(process):
            await producer.publish([_own(things, number, waited_for=False) for number in range(300)])
        await until_read(things, kafka_bootstrap_servers)

    assert news.asked == []
    assert await things.applied() == 0


async def test_an_own_batch_that_the_rows_do_not_know_is_read(
    things: Things, kafka_bootstrap_servers: str, news: News
) -> None:
    news.knows = False
    async with _heeding(things, kafka_bootstrap_servers, news) as (process, producer):
        with _held_back(process):
            await producer.publish([_own(things, number) for number in range(300)])
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (300, {1})
    assert await things.versions() == {f"R{number:04}": 1 for number in range(300)}


async def test_what_others_have_published_between_is_read_in_its_place(
    things: Things, kafka_bootstrap_servers: str, news: News
) -> None:
    """Who has the last word about a recording is told by the order on the topic."""
    async with _heeding(things, kafka_bootstrap_servers, news) as (process, producer):
        with _held_back(process):
            await producer.publish([_own(things, 1)])
            await publish(kafka_bootstrap_servers, [a_record(things.topic, "R0001", 2)])
            await producer.publish([_own(things, 1)])
        await until_read(things, kafka_bootstrap_servers)

    assert [(one.order, one.told_apart_by == UNREAD) for one in news.asked] == [
        ((1,), True),
        ((2,), False),
        ((1,), True),
    ]


async def test_an_own_batch_that_is_read_again_is_read(
    things: Things, kafka_bootstrap_servers: str, news: News
) -> None:
    async with _heeding(things, kafka_bootstrap_servers, news) as (process, producer):
        with _held_back(process):
            await producer.publish([_own(things, number) for number in range(50)])
        await until_read(things, kafka_bootstrap_servers)

        await things.change("update position set next_offset = 0")

        async def asked_again() -> bool:
            return len(news.asked) == 100

        await until(asked_again)

    assert len(news.unread) == 50


async def test_own_batches_that_a_seek_overtakes_are_read(
    things: Things, kafka_bootstrap_servers: str, news: News
) -> None:
    """The database was set back before they came: what it knew of them it may not know any more."""
    async with _heeding(things, kafka_bootstrap_servers, news) as (process, producer):
        with _held_back(process):
            await producer.publish([_own(things, number) for number in range(50)])
        await until_read(things, kafka_bootstrap_servers)
        with _held_back(process):
            await producer.publish([_own(things, number) for number in range(50, 60)])
            news.asked.clear()

            await things.change("update position set next_offset = 0")
            await process.fold._look()
        await until_read(things, kafka_bootstrap_servers)

    assert len(news.asked) == 60
    assert news.unread == []


async def test_own_batches_count_as_the_records_that_they_stand_for(
    things: Things, kafka_bootstrap_servers: str, news: News
) -> None:
    """A topic of which most is bad is not read on; 100 records among 600 are not most, whatever the others came in."""
    bad = [a_record(things.topic, f"B{number:04}")._replace(value=b"{") for number in range(100)]
    async with _heeding(things, kafka_bootstrap_servers, news) as (process, producer):
        with _held_back(process):
            await producer.publish([_own(things, number, waited_for=False) for number in range(500)])
            await publish(kafka_bootstrap_servers, bad)

        async def put_aside_or_stopped() -> bool:
            return bool(process.fold.limit.stopped or await things.rows("select from dead_letter"))

        await until(put_aside_or_stopped)
        assert process.fold.limit.stopped is None
        await until_read(things, kafka_bootstrap_servers)

    assert len(await things.rows("select from dead_letter")) == 100
