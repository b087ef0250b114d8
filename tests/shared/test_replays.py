"""A replay on genuine Kafka: a running process reads old records again, and what it makes of them is counted."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from shared import replays
from shared.api_replays import ReplayBody
from shared.api_replays import _plan as plan_of
from shared.database import Database
from shared.replays import Replay, Stretch
from shared.sql import text
from shared.topics import since
from shared.web import Problem
from tests.shared.folding import publish, running_process, topic_ends, until, until_read
from tests.shared.things import NOON, Things, a_record


async def begin(things: Things, starts: dict[int, int], *, asked_by: str | None = "ann") -> Sequence[Stretch]:
    database = Database(things.url, pool_size=4)
    async with database.transaction() as connection:
        stretches = await replays.plan(connection, things.topic.name, starts)
        await replays.begin(connection, things.topic.name, stretches, asked_by=asked_by)
    await database.close()
    return stretches


async def newest(things: Things) -> Replay:
    database = Database(things.url, pool_size=4)
    async with database.transaction() as connection:
        [found] = await replays.newest(connection, [things.topic.name])
    await database.close()
    return found


def counts(replay: Replay) -> tuple[int, int, int, int, int]:
    return replay.read, replay.newer, replay.unchanged, replay.bad, replay.empty


async def test_what_is_read_again_is_counted_and_normal_folding_is_not(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    records = [a_record(things.topic, f"R{number:02}") for number in range(40)]
    bad, tombstone = records[0]._replace(value=b"{"), records[0]._replace(value=None)  # type: ignore[arg-type]
    await publish(kafka_bootstrap_servers, [*records, bad, tombstone])

    async with running_process(things, kafka_bootstrap_servers, batch_records=7):
        await until_read(things, kafka_bootstrap_servers)
        stretches = await begin(things, {0: 0, 1: 0})
        assert sum(one.offsets for one in stretches) == (await newest(things)).to_read == 42

        async def over() -> bool:
            return (await newest(things)).left == 0

        await until(over)
        counted = await newest(things)
        await publish(kafka_bootstrap_servers, [a_record(things.topic, "later")])
        await until_read(things, kafka_bootstrap_servers)

    assert counted.asked_by == "ann"
    # Of this service's facts, whatever is not older than known counts as newer.
    assert counts(counted) == counts(await newest(things)) == (42, 40, 0, 1, 1)
    assert await things.times_applied() == {1, 2}
    assert len(await things.dead_letters()) == 1


async def test_two_processes_count_together(things: Things, kafka_bootstrap_servers: str) -> None:
    async with (
        running_process(things, kafka_bootstrap_servers, service="both", batch_records=10) as first,
        running_process(things, kafka_bootstrap_servers, service="both", batch_records=10) as second,
    ):
        await publish(kafka_bootstrap_servers, [a_record(things.topic, f"R{number:03}") for number in range(200)])

        async def shared() -> bool:
            return len(first.fold.assigned) == len(second.fold.assigned) == 1

        await until(shared)
        await until_read(things, kafka_bootstrap_servers)
        await begin(things, {0: 0, 1: 0})
        await until_read(things, kafka_bootstrap_servers)

    assert counts(await newest(things)) == (200, 200, 0, 0, 0)


async def test_a_partition_that_is_not_named_stays_and_none_goes_forward(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    await publish(kafka_bootstrap_servers, [a_record(things.topic, f"R{number:02}") for number in range(40)])
    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)
        stood = await things.positions()

        forward = await begin(things, {0: stood[0] + 5, 1: stood[1]})
        assert await things.positions() == stood
        back = await begin(things, {0: stood[0] - 3})
        await until_read(things, kafka_bootstrap_servers)

    assert forward == []
    assert back == [Stretch(0, stood[0] - 3, stood[0])]
    assert (await newest(things)).read == 3
    assert await things.positions() == stood


async def test_an_own_topic_closes_the_gate_until_it_is_read_again(
    things: Things, kafka_bootstrap_servers: str
) -> None:
    await publish(kafka_bootstrap_servers, [a_record(things.topic, f"R{number:02}") for number in range(40)])
    async with running_process(things, kafka_bootstrap_servers, own=True) as process:
        await process.gate.wait_open()
        closings = process.gate._closings
        await begin(things, {0: 0, 1: 0})

        async def closed_and_open() -> bool:
            return process.gate._closings > closings and process.gate.is_open

        await until(closed_and_open)

    assert (await newest(things)).left == 0
    assert await things.times_applied() == {2}


async def test_a_replay_goes_on_after_a_restart(things: Things, kafka_bootstrap_servers: str) -> None:
    await publish(kafka_bootstrap_servers, [a_record(things.topic, f"R{number:02}") for number in range(40)])
    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)
    await begin(things, {0: 0, 1: 0}, asked_by=None)
    async with running_process(things, kafka_bootstrap_servers):
        await until_read(things, kafka_bootstrap_servers)

    assert counts(await newest(things)) == (40, 40, 0, 0, 0)


@pytest.mark.parametrize("stands_at", [500, 3, 0])
async def test_a_replay_of_a_topic_that_was_made_anew_is_over(
    things: Things, kafka_bootstrap_servers: str, stands_at: int
) -> None:
    """As far as it went before it no longer means anything, however far that was."""
    async with running_process(things, kafka_bootstrap_servers):
        await publish(kafka_bootstrap_servers, [a_record(things.topic, f"R{number:02}") for number in range(10)])
        await until_read(things, kafka_bootstrap_servers)
        # As it stands when a longer topic of this name was being replayed.
        await begin(things, {0: 0, 1: 0})
        await until_read(things, kafka_bootstrap_servers)
        await things.change(f"update position set next_offset = {stands_at}, replay_until = 1000")

        async def over() -> bool:
            return (await newest(things)).left == 0

        await until(over)
        await until_read(things, kafka_bootstrap_servers)


async def test_a_time_is_where_the_first_record_of_it_stands(things: Things, kafka_bootstrap_servers: str) -> None:
    await publish(kafka_bootstrap_servers, [a_record(things.topic, f"R{number:02}") for number in range(40)])
    ends = await topic_ends(kafka_bootstrap_servers, things.topic.name)

    assert await since(kafka_bootstrap_servers, things.topic.name, NOON) == {0: 0, 1: 0}
    assert await since(kafka_bootstrap_servers, things.topic.name, datetime(2100, 1, 1, tzinfo=UTC)) == {
        place.partition: end for place, end in ends.items()
    }


async def test_one_that_is_asked_for_again_is_told_that_it_runs_and_not_that_it_is_ahead(things: Things) -> None:
    database = Database(things.url, pool_size=4)
    topic = things.topic.name
    async with database.transaction() as connection:
        stands_at_9 = text("insert into position (topic, partition, next_offset) values (:topic, 0, 9)")
        await connection.execute(stands_at_9, {"topic": topic})
    await begin(things, {0: 4})

    with pytest.raises(Problem) as refused:
        async with database.transaction() as connection:
            await plan_of(connection, ReplayBody(topic=topic, offsets={0: 4}), {0: 4})
    await database.close()

    assert (refused.value.status, refused.value.title) == (409, "Already running")
