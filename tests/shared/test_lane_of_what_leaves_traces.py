"""An outage of a cloud in which a request of unknown outcome must not be repeated: none is sent for a mere look."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from shared.lane_rules import FAILURES_TO_OPEN
from shared.outcome import Done, RateLimited, Unknown
from tests.emulator.running import Emulator
from tests.shared.traffic import Traffic, traffic_on

AN_HOUR_S = 3_600


@pytest.fixture
async def traffic(things_url: str, cloud: Emulator) -> AsyncIterator[Traffic]:
    """Of what can be repeated under a key alone, with a cloud that honours none; its circuit is open."""
    cloud.control("PUT", "capabilities", {"capabilities": []})
    async with traffic_on(things_url, cloud) as found:
        wary = replace(found, lane=replace(found.lane, repeatable_with="idempotency-key"))
        await wary.lane.ping()
        await wary.break_down()
        yield wary


async def _probes(traffic: Traffic) -> int:
    """How many requests may be sent now."""
    return sum([await traffic.enter() is not None for _ in range(4)])


async def _answered_ping(traffic: Traffic) -> None:
    await traffic.later(AN_HOUR_S)
    await traffic.lane.ping()


async def test_nothing_is_sent_as_long_as_no_ping_is_answered(traffic: Traffic, cloud: Emulator) -> None:
    cloud.control("POST", "down")
    sent = 0
    for _ in range(5):
        await _answered_ping(traffic)
        sent += await _probes(traffic)
    cloud.control("POST", "up")

    assert sent == 0
    assert (await traffic.state()).failures == FAILURES_TO_OPEN


@pytest.mark.parametrize("fault", [None, {"status": 404}])
async def test_an_answered_ping_lets_one_request_through(
    traffic: Traffic, cloud: Emulator, fault: dict[str, object] | None
) -> None:
    """Whatever it answers: a cloud may have no ping at all."""
    if fault:
        cloud.arm(route="ping", **fault)
    await _answered_ping(traffic)

    assert await _probes(traffic) == 1
    await traffic.later(AN_HOUR_S)
    assert await _probes(traffic) == 0


async def test_if_that_succeeds_the_circuit_closes(traffic: Traffic) -> None:
    await _answered_ping(traffic)

    assert await traffic.meet(Done({})) is None
    assert (await traffic.state()).failures == 0


async def test_a_cloud_that_answers_pings_and_nothing_else_gets_a_request_ever_more_seldom(traffic: Traffic) -> None:
    sent_at, seconds = [], 0
    await _answered_ping(traffic)
    while seconds <= AN_HOUR_S:
        while (entered := await traffic.enter()) is not None:
            sent_at.append(seconds)
            await traffic.lane.report(Unknown("500"), entered=entered)
        seconds += 10
        await traffic.later(10)
        await traffic.lane.ping()

    assert sent_at == [0, 10, 30, 70, 150, 310, 630, 1270, 2170, 3070]
    assert (await traffic.state()).reason == "circuit_open"


async def test_a_request_that_nobody_lived_to_report_counts_as_failed(traffic: Traffic) -> None:
    await _answered_ping(traffic)
    await traffic.enter()

    await traffic.later(9)
    await traffic.lane.ping()
    too_early = await _probes(traffic)
    await traffic.later(2)
    await traffic.lane.ping()

    assert (too_early, await _probes(traffic)) == (0, 1)


async def test_failures_after_a_rate_limit_open_the_circuit_as_well(traffic: Traffic) -> None:
    """Else each second a request would be sent to a cloud that has gone away meanwhile."""
    await _answered_ping(traffic)
    await traffic.meet(Done({}))
    await traffic.meet(RateLimited("429", 30))
    reasons = []
    for _ in range(FAILURES_TO_OPEN):
        await traffic.later(31)
        reasons.append(await traffic.meet(Unknown("502")))

    assert reasons == ["rate_limited"] * (FAILURES_TO_OPEN - 1) + ["circuit_open"]
    await traffic.later(31)
    assert await _probes(traffic) == 0


async def test_a_cloud_that_honours_keys_by_now_gets_one_a_second_again(traffic: Traffic, cloud: Emulator) -> None:
    cloud.control("PUT", "capabilities", {"capabilities": ["idempotency-key"]})
    await _answered_ping(traffic)
    sent = []
    for _ in range(3):
        sent.append(await _probes(traffic))
        await traffic.later(1)

    assert sent == [1, 1, 1]


async def test_the_time_that_the_cloud_has_named_counts_through_an_outage(traffic: Traffic) -> None:
    """A ping is answered before that time: it lets nobody through."""
    await traffic.lane.report(RateLimited("slower", 60))
    limited = await traffic.state()
    for _ in range(FAILURES_TO_OPEN):
        await traffic.lane.report(Unknown("no"), entered=limited)
    async with traffic.database.transaction() as connection:
        await connection.exec_driver_sql("update lane set pinged_at = null")

    await traffic.lane.ping()

    assert (await traffic.state()).reason == "circuit_open"
    assert await _probes(traffic) == 0
    await traffic.later(61)
    assert await _probes(traffic) == 1
