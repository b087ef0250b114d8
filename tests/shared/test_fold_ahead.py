"""A batch that is read while the one before is stored, on genuine Kafka: it is stored behind it, or read again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from pydantic import model_validator

from schemas.events import TicketLinked
from tests.shared.folding import WITHIN_S, Process, publish, running_process, until, until_read
from tests.shared.slow import Slow
from tests.shared.things import Things, a_record

RECORDS, AT_ONCE = 40, 10


@asynccontextmanager
async def _one_stored_and_one_read(things: Things, servers: str, slow: Slow) -> AsyncIterator[Process]:
    """The first batch is not stored yet, and the consumer stands behind the second, which was read meanwhile."""
    async with running_process(things, servers, apply=slow.apply, batch_records=AT_ONCE) as process:

        async def joined() -> bool:
            return process.fold.joined  # else the consumer may be sought back while the first is stored

        await until(joined)
        await publish(servers, [a_record(things.topic, f"R{number}") for number in range(RECORDS)])
        await slow.began.wait()
        consumer, partitions = process.fold.consumer, process.fold.assigned
        assert consumer

        async def stands_behind_the_second() -> bool:
            return sum([int(await consumer.position(one)) for one in partitions]) > slow.first

        await until(stands_behind_the_second)
        assert not any((await things.positions()).values())
        yield process


async def test_a_batch_that_was_read_meanwhile_is_stored_behind_the_one_before(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    slow = Slow()
    async with _one_stored_and_one_read(things, kafka_bootstrap_servers, slow):
        slow.may_go_on.set()
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (RECORDS, {1})


async def test_a_batch_is_not_stored_if_the_one_before_it_was_not(things: Things, kafka_bootstrap_servers: str) -> None:
    """It would move the positions over records that nobody has."""
    slow = Slow(fails=True)
    async with _one_stored_and_one_read(things, kafka_bootstrap_servers, slow):
        slow.may_go_on.set()
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (RECORDS, {1})


async def test_positions_that_move_back_meanwhile_make_both_be_read_again(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    slow = Slow()
    async with _one_stored_and_one_read(things, kafka_bootstrap_servers, slow):
        moving = asyncio.create_task(things.change("update position set next_offset = 0"))

        async def waits_for_the_first() -> object:
            return await things.rows("select from pg_stat_activity where wait_event_type = 'Lock'")

        await until(waits_for_the_first)
        slow.may_go_on.set()
        await moving
        await until_read(things, kafka_bootstrap_servers)

    assert await things.applied() == RECORDS


async def test_what_a_poll_dropped_while_a_batch_was_stored_is_read_again(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    """aiokafka stands behind records that a poll which raised has taken from its buffers; nothing comes after them."""
    slow = Slow()
    async with _one_stored_and_one_read(things, kafka_bootstrap_servers, slow) as process:
        consumer = process.fold.consumer
        assert consumer
        for partition in process.fold.assigned:
            consumer.seek(partition, (await consumer.end_offsets([partition]))[partition])
        consumer.failed_polls += 1
        slow.may_go_on.set()
        await until_read(things, kafka_bootstrap_servers)

    assert (await things.applied(), await things.times_applied()) == (RECORDS, {1})


async def test_a_process_that_ends_while_a_batch_is_stored_leaves_it_to_the_next(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    async with _one_stored_and_one_read(things, kafka_bootstrap_servers, Slow()) as process:
        storing = process.fold._storing

    assert storing
    assert storing.cancelled()
    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)
    assert (await things.applied(), await things.times_applied()) == (RECORDS, {1})
    assert sum((await things.positions()).values()) == RECORDS


async def test_a_defect_in_what_reads_a_record_ends_the_process(things: Things, kafka_bootstrap_servers: str) -> None:
    broken = replace(things, topic=replace(things.topic, event=_Unreadable))
    await publish(kafka_bootstrap_servers, [a_record(things.topic, "R1")])

    async with running_process(broken, kafka_bootstrap_servers) as process:
        await asyncio.wait({process.watching}, timeout=WITHIN_S)

        assert isinstance(process.watching.exception(), KeyError)
    assert not any((await things.positions()).values())


class _Unreadable(TicketLinked):
    @model_validator(mode="before")
    @classmethod
    def _stumble(cls, given: object) -> object:
        raise KeyError(given)


# A record says the type of its event by the class's name.
_Unreadable.__name__ = TicketLinked.__name__
