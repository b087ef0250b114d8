"""After a breakdown the cloud is not met by all that has gathered meanwhile: it gets more as fast as it answers."""

import asyncio

import pytest

from shared.lane_state import LaneState
from shared.outcome import Done, NothingDone, Outcome, RateLimited, Unauthorized
from tests.shared.traffic import Traffic

PUSHED = 20  # as many as would go at once
A_WHILE_S = 3_600


@pytest.fixture
async def mended(traffic: Traffic) -> Traffic:
    """The circuit was open, and a probe has just got through; that a second passes is up to the test."""
    await traffic.break_down()
    await traffic.later(1)
    await traffic.meet(Done({}))
    await traffic.later(-A_WHILE_S)
    return traffic


async def _begin(traffic: Traffic) -> list[LaneState]:
    """As many requests as may be begun now, of all processes together."""
    begun = await asyncio.gather(*(traffic.enter() for _ in range(PUSHED)))
    return [one for one in begun if one is not None]


async def _end(traffic: Traffic, begun: list[LaneState], outcome: Outcome) -> None:
    for one in begun:
        await traffic.lane.report(outcome, entered=one)


async def test_each_answer_lets_one_request_more_go_until_nobody_waits(mended: Traffic) -> None:
    at_once = []
    for _ in range(6):
        begun = await _begin(mended)
        at_once.append(len(begun))
        await _end(mended, begun, Done({}))

    assert at_once == [2, 4, 8, 16, PUSHED, PUSHED]
    assert (await mended.state()).untroubled


async def test_without_answers_one_request_a_second_goes(mended: Traffic) -> None:
    """The processes that began the first two may have died."""
    first = len(await _begin(mended))
    then = []
    for _ in range(3):
        await mended.later(A_WHILE_S + 1)
        then.append(await mended.enter() is not None)
        await mended.later(-A_WHILE_S)
        then.append(await mended.enter() is not None)

    assert first == 2
    assert then == [True, False] * 3


async def test_a_cloud_that_breaks_down_again_is_spared_again(mended: Traffic) -> None:
    begun = await _begin(mended)
    await _end(mended, begun * 3, NothingDone("no"))

    state = await mended.state()
    assert (state.reason, state.allowance, await _begin(mended)) == ("circuit_open", None, [])


async def test_after_too_many_requests_it_is_not_met_by_as_many_again(traffic: Traffic) -> None:
    await traffic.meet(RateLimited("429", 30))
    await traffic.later(31)
    await traffic.meet(Done({}))
    await traffic.later(-A_WHILE_S)

    assert len(await _begin(traffic)) == 2


async def test_a_cloud_that_had_not_too_much_to_do_gets_all_of_it(traffic: Traffic) -> None:
    await traffic.meet(Unauthorized("401: unathorized"))
    await traffic.later(60)
    await traffic.lane.ping()

    assert len(await _begin(traffic)) == PUSHED
