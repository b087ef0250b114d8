"""The gate: closed until the own topics are read back, and closed again as soon as the database knows less."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError

from shared.database import Database
from shared.gate import LOOK_AGAIN_S, Gate, GateClosed
from shared.reconcile import Loop

OWN, OTHER = "own", "other"
ZERO, ONE = TopicPartition(OWN, 0), TopicPartition(OWN, 1)


@dataclass
class Kafka:
    """What the gate is told about where the own topics end; counts how often it asked."""

    ends: dict[TopicPartition, int] = field(default_factory=dict)
    error: Exception | None = None
    asked: int = 0

    async def __call__(self) -> Mapping[TopicPartition, int]:
        self.asked += 1
        if self.error:
            raise self.error
        return dict(self.ends)


@dataclass(frozen=True)
class Kept:
    gate: Gate
    kafka: Kafka
    database: Database

    async def rows(self, **positions: int) -> None:
        """Set the rows of the own topic (p0=…, p1=…) and leave one of another topic behind."""
        async with self.database.transaction() as connection:
            await connection.exec_driver_sql("delete from position")
            for name, offset in positions.items():
                await connection.exec_driver_sql(f"insert into position values ('{OWN}', {name[1:]}, {offset})")
            await connection.exec_driver_sql(f"insert into position values ('{OTHER}', 0, 1)")

    async def passes(self) -> bool:
        async with self.database.transaction() as connection:
            try:
                await self.gate.pass_through(connection)
            except GateClosed:
                return False
        return True

    async def opens(self) -> bool:
        try:
            await asyncio.wait_for(self.gate.wait_open(), 5 * LOOK_AGAIN_S)
        except TimeoutError:
            return False
        return True


@asynccontextmanager
async def _keeping(url: str, kafka: Kafka) -> AsyncIterator[Kept]:
    database = Database(url, pool_size=4)
    gate = Gate(database, [OWN], kafka)
    keeping = asyncio.create_task(gate.keep())
    try:
        yield Kept(gate, kafka, database)
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        await database.close()


@pytest.fixture
async def kept(things_url: str) -> AsyncIterator[Kept]:
    async with _keeping(things_url, Kafka({ZERO: 10, ONE: 20})) as kept:
        yield kept


async def test_it_opens_when_every_partition_is_read_up_to_where_it_ended(kept: Kept) -> None:
    await kept.rows(p0=10, p1=19)
    too_early = await kept.opens()
    kept.kafka.ends = {ZERO: 1_000, ONE: 1_000}  # what comes later is nothing that was done before
    await kept.rows(p0=10, p1=20)

    assert not too_early
    assert await kept.opens()
    assert await kept.passes()
    assert kept.kafka.asked == 1


async def test_nothing_passes_while_it_is_closed(kept: Kept) -> None:
    await kept.rows(p0=10)

    assert not await kept.passes()


async def test_no_own_fact_yet_is_nothing_to_wait_for(things_url: str) -> None:
    async with _keeping(things_url, Kafka({ZERO: 0, ONE: 0})) as kept:
        assert await kept.opens()
        assert await kept.passes()


async def test_a_lower_row_closes_it_until_the_topic_is_read_again(kept: Kept) -> None:
    await kept.rows(p0=10, p1=20)
    assert await kept.opens()

    await kept.rows(p0=10, p1=12)
    closed = not await kept.passes()
    still_closed = not await kept.opens()
    await kept.rows(p0=10, p1=20)

    assert closed
    assert still_closed
    assert await kept.opens()
    assert kept.kafka.asked >= 2


async def test_a_row_that_is_gone_closes_it(kept: Kept) -> None:
    await kept.rows(p0=10, p1=20)
    assert await kept.opens()

    await kept.rows(p0=10)

    assert not await kept.passes()


async def test_a_higher_row_means_that_another_process_was_faster(kept: Kept) -> None:
    await kept.rows(p0=10, p1=20)
    assert await kept.opens()

    await kept.rows(p0=50, p1=20)
    passed = await kept.passes()
    await kept.rows(p0=49, p1=20)

    assert passed
    assert not await kept.passes()


async def test_what_the_fold_has_seen_counts_as_seen(kept: Kept) -> None:
    """Between two claims the fold goes on; a database set back to the last claim is lower all the same."""
    await kept.rows(p0=10, p1=20)
    assert await kept.opens()
    kept.gate.compare({ZERO: 70}, seen=kept.gate.seen())

    await kept.rows(p0=60, p1=20)

    assert not await kept.passes()


async def test_a_row_that_was_read_before_another_was_remembered_closes_nothing(kept: Kept) -> None:
    await kept.rows(p0=10, p1=20)
    assert await kept.opens()
    seen_before = kept.gate.seen()
    kept.gate.compare({ZERO: 70}, seen=kept.gate.seen())

    kept.gate.compare({ZERO: 65}, seen=seen_before)

    assert kept.gate.is_open


async def test_rows_beyond_the_topics_end_are_those_of_another_kafka(things_url: str) -> None:
    async with _keeping(things_url, Kafka({ZERO: 5})) as kept:
        await kept.rows(p0=1_000)
        kept.gate.close("as at start")
        before_they_are_set_back = await kept.opens()
        await kept.rows(p0=0)
        unread = await kept.opens()
        await kept.rows(p0=5)

        assert (before_they_are_set_back, unread) == (False, False)
        assert await kept.opens()


async def test_a_topic_that_is_made_anew_while_it_is_closed_is_waited_for_as_it_is_now(things_url: str) -> None:
    async with _keeping(things_url, Kafka({ZERO: 5})) as kept:
        await kept.rows(p0=0)
        before = await kept.opens()

        kept.kafka.ends = {ZERO: 0}
        await asyncio.wait_for(kept.gate.wait_open(), 10)

        assert not before


async def test_a_partition_that_is_no_more_is_not_waited_for(things_url: str) -> None:
    async with _keeping(things_url, Kafka({ZERO: 5})) as kept:
        await kept.rows(p0=5, p1=99)

        assert await kept.opens()


async def test_it_waits_for_kafka_and_goes_on(things_url: str) -> None:
    async with _keeping(things_url, Kafka({ZERO: 0}, error=KafkaConnectionError())) as kept:
        before = await kept.opens()
        kept.kafka.error = None
        await asyncio.wait_for(kept.gate.wait_open(), 5)

        assert not before


async def test_closing_it_while_it_is_about_to_open_wins(things_url: str) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    class Slow(Kafka):
        async def __call__(self) -> Mapping[TopicPartition, int]:
            asked.set()
            await answer.wait()
            return await super().__call__()

    kafka = Slow({ZERO: 3})
    async with _keeping(things_url, kafka) as kept:
        await kept.rows(p0=3)
        await asked.wait()
        kept.gate.close("for the test")
        kafka.ends = {ZERO: 4}
        answer.set()

        assert not await kept.opens()
        await kept.rows(p0=4)
        assert await kept.opens()


async def test_a_loop_rests_while_it_is_closed(kept: Kept) -> None:
    steps = 0

    async def step() -> float | None:
        nonlocal steps
        steps += 1
        return None

    loop = Loop("resting", step, gate=kept.gate, beat_s=0.02)
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0.2)
    while_closed = steps
    await kept.rows(p0=10, p1=20)
    await kept.opens()
    await asyncio.sleep(0.2)
    loop.stop()
    await running

    assert while_closed == 0
    assert steps > 0
