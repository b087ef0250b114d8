"""A lane that a person has paused: nothing is sent until a person lets it go on, whatever the cloud says."""

from collections.abc import AsyncIterator

import pytest

from shared import audit, pause
from shared.outcome import Unauthorized
from tests.emulator.running import Emulator
from tests.shared.traffic import Traffic, traffic_on


@pytest.fixture
async def open_lane(things_url: str, cloud: Emulator) -> AsyncIterator[Traffic]:
    async with traffic_on(things_url, cloud) as found:
        await found.lane.ping()
        assert (await found.state()).reason is None
        yield found


async def paused(lane: Traffic, *, who: str | None = "ann", why: str = "maintenance") -> None:
    async with lane.database.transaction() as connection:
        await pause.pause(connection, who=who, why=why)


async def resumed(lane: Traffic) -> bool:
    async with lane.database.transaction() as connection:
        return await pause.resume(connection, who="bob")


async def test_a_paused_lane_lets_nothing_through_and_says_who_and_why(open_lane: Traffic) -> None:
    await paused(open_lane)

    state = await open_lane.state()
    assert await open_lane.enter() is None
    assert state.reason == "paused"
    assert state.message is not None
    assert state.message.startswith("ann at 20")
    assert state.message.endswith("Z: maintenance")
    assert not open_lane.lane.unlimited(state)


async def test_no_ping_and_no_late_outcome_lifts_a_pause(open_lane: Traffic) -> None:
    entered = await open_lane.enter()
    await paused(open_lane)

    await open_lane.later(100)
    await open_lane.lane.ping()
    await open_lane.lane.report(Unauthorized("no"), entered=entered)
    under_way = await open_lane.state()
    await open_lane.later(100)
    await open_lane.lane.ping()

    assert (under_way.reason, under_way.met) == ("paused", "unauthorized")
    assert (await open_lane.state()).reason == "paused"
    assert (await open_lane.state()).met is None
    assert await open_lane.enter() is None


async def test_a_lane_that_goes_on_is_as_the_cloud_has_left_it(open_lane: Traffic) -> None:
    await paused(open_lane)
    await open_lane.lane.report(Unauthorized("no"))

    assert await resumed(open_lane)

    assert (await open_lane.state()).reason == "unauthorized"
    assert (await open_lane.state()).paused is None


async def test_pausing_and_resuming_are_on_record_and_what_changes_nothing_is_not(open_lane: Traffic) -> None:
    await paused(open_lane)
    await paused(open_lane, who=None, why="still")
    second = await open_lane.state()
    outcomes = [await resumed(open_lane), await resumed(open_lane)]

    async with open_lane.database.transaction() as connection:
        found, _ = await audit.recorded(connection, audit.Wanted())
    assert outcomes == [True, False]
    assert second.message is not None
    assert second.message.startswith("somebody at ")
    assert [(one.who, one.what, one.detail) for one in found] == [
        ("bob", "lane_resumed", {}),
        (None, "lane_paused", {"why": "still"}),
        ("ann", "lane_paused", {"why": "maintenance"}),
    ]
