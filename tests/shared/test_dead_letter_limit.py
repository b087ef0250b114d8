"""A bad record is put aside at once; a topic of which most is bad is not read on, and says so."""

import asyncio

import pytest

from shared.dead_letter_limit import Counted, Passes, TooMany, decide_batch
from shared.producer import Outgoing
from tests.shared.folding import Process, publish, running_process, until, until_read
from tests.shared.things import Things, a_record


@pytest.mark.parametrize(
    ("window", "batch", "percent", "decision"),
    [
        # A bad record in a quiet topic, and as many as are too few to prove anything.
        ((), Counted(1, 1), 50, Passes((Counted(1, 1),))),
        ((), Counted(99, 99), 1, Passes((Counted(99, 99),))),
        ((Counted(98, 98),), Counted(1, 1), 50, Passes((Counted(98, 98), Counted(1, 1)))),
        # The hundredth, if it is more than half.
        ((Counted(99, 99),), Counted(1, 1), 50, TooMany(100, 100)),
        ((), Counted(200, 100), 50, Passes((Counted(200, 100),))),
        ((), Counted(200, 101), 50, TooMany(101, 200)),
        ((), Counted(2_000, 1_001), 50, TooMany(1_001, 2_000)),
        # What was good before counts, as far as it is among the last thousand.
        ((Counted(900, 0),), Counted(100, 100), 50, Passes((Counted(900, 0), Counted(100, 100)))),
        ((Counted(5_000, 0), Counted(500, 0)), Counted(500, 500), 49, TooMany(500, 1_000)),
        (
            (Counted(5_000, 0), Counted(499, 0)),
            Counted(500, 500),
            49,
            Passes((Counted(5_000, 0), Counted(499, 0), Counted(500, 500))),
        ),
        # A good batch always goes on.
        ((Counted(900, 450),), Counted(50, 0), 10, Passes((Counted(900, 450), Counted(50, 0)))),
        # No limit.
        ((), Counted(2_000, 2_000), 100, Passes((Counted(2_000, 2_000),))),
    ],
)
def test_how_many_may_be_put_aside(
    window: tuple[Counted, ...], batch: Counted, percent: int, decision: Passes | TooMany
) -> None:
    assert decide_batch(window, batch, percent=percent) == decision


def bad(things: Things, count: int) -> list[Outgoing]:
    return [a_record(things.topic, f"B{number:04}")._replace(value=b"{") for number in range(count)]


def good(things: Things, count: int, *, version: int = 1) -> list[Outgoing]:
    return [a_record(things.topic, f"R{number:04}", version) for number in range(count)]


async def until_stopped(process: Process) -> str:
    async def stopped() -> str | None:
        return process.fold.limit.stopped

    await until(stopped)
    return process.fold.limit.stopped or ""


async def test_a_topic_of_bad_records_is_not_drained_into_the_dead_letters(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    async with running_process(things, kafka_bootstrap_servers) as process:
        await publish(kafka_bootstrap_servers, good(things, 20))
        await until_read(things, kafka_bootstrap_servers)
        before = await things.positions()
        await publish(kafka_bootstrap_servers, bad(things, 1_500))

        why = await until_stopped(process)

        put_aside = len(await things.dead_letters())
        read_on = sum((await things.positions()).values()) - sum(before.values())
    assert put_aside == read_on < 100
    assert why.startswith(f"{things.topic.name} is not read on: ")
    assert "cannot be applied (malformed_json)" in why
    assert why.endswith("start this service once with DEAD_LETTER_LIMIT_PERCENT=100")


async def test_it_stays_stopped_after_a_restart_until_somebody_accepts_them(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    await publish(kafka_bootstrap_servers, [*bad(things, 300), *good(things, 20)])
    for _ in range(2):
        async with running_process(things, kafka_bootstrap_servers, service="same") as process:
            await until_stopped(process)
    assert await things.dead_letters() == []

    async with running_process(things, kafka_bootstrap_servers, service="same", limit_percent=100) as process:
        await until_read(things, kafka_bootstrap_servers)
        assert process.fold.limit.stopped is None

    assert len(await things.dead_letters()) == 300
    assert len(await things.versions()) == 20


async def test_one_bad_record_in_a_quiet_topic_is_put_aside_at_once(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    async with running_process(things, kafka_bootstrap_servers):
        for number in range(3):
            await publish(kafka_bootstrap_servers, bad(things, 1))
            await until_read(things, kafka_bootstrap_servers)
            assert len(await things.dead_letters()) == number + 1


async def test_dead_letters_that_are_read_again_are_known_and_stop_nothing(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    await publish(kafka_bootstrap_servers, bad(things, 300))
    async with running_process(things, kafka_bootstrap_servers, service="same", limit_percent=100):
        await until_read(things, kafka_bootstrap_servers)
    await things.change("update position set next_offset = 0")

    async with running_process(things, kafka_bootstrap_servers, service="same"):
        await until_read(things, kafka_bootstrap_servers)

    assert len(await things.dead_letters()) == 300


async def test_a_stopped_process_ends_at_once_and_is_no_defect(things: Things, kafka_bootstrap_servers: str) -> None:
    await publish(kafka_bootstrap_servers, bad(things, 300))
    async with running_process(things, kafka_bootstrap_servers) as process:
        await until_stopped(process)
        assert not process.watching.done()

        async with asyncio.timeout(5):
            process.watching.cancel()
            await asyncio.wait([process.watching])
            await process.fold.stop()
            await process.fold._subscriber.stop()
