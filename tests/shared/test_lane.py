"""The lane: one service's traffic to the cloud stops and goes on for all its processes together."""

import asyncio
from dataclasses import replace

import pytest

from shared.lane_rules import FAILURES_TO_OPEN
from shared.outcome import Done, Invalid, NoFolder, NoRoute, NothingDone, Outcome, RateLimited, Unauthorized, Unknown
from tests.emulator.running import Emulator
from tests.shared.traffic import Traffic


async def test_nothing_is_sent_before_the_cloud_has_said_what_it_can(new: Traffic, cloud: Emulator) -> None:
    before = await new.enter()
    cloud.control("POST", "down")
    await new.lane.ping()
    while_down = await new.enter()
    cloud.control("POST", "up")
    await new.lane.ping()  # too early for another one
    too_early = await new.enter()
    await new.later(1.1)
    await new.lane.ping()

    assert (before, while_down, too_early) == (None, None, None)
    state = await new.enter()
    assert state is not None
    assert state.capabilities == {"ticket-info", "idempotency-key", "link-version", "read"}


async def test_a_cloud_without_ping_is_used_all_the_same(new: Traffic, cloud: Emulator) -> None:
    cloud.arm(route="ping", status=404, times=None)

    await new.lane.ping()

    state = await new.enter()
    assert state is not None
    assert state.capabilities == frozenset()


async def test_names_of_capabilities_that_are_none_are_left_out(new: Traffic, cloud: Emulator) -> None:
    odd = ["read", "NOT\x00ONE", 7, None, {"a": 1}, "x" * 100, "read", "ticket-info"]
    cloud.arm(route="ping", status=200, body={"capabilities": odd})

    await new.lane.ping()

    assert (await new.state()).capabilities == {"read", "ticket-info"}


async def test_many_failures_in_a_row_open_the_circuit_whatever_the_folder(traffic: Traffic) -> None:
    failures: list[Outcome] = [NothingDone("no"), Unknown("what")]
    for outcome in failures * FAILURES_TO_OPEN:
        if await traffic.meet(outcome):
            break

    assert (await traffic.state()).reason == "circuit_open"


async def test_a_success_in_between_keeps_the_circuit_closed(traffic: Traffic) -> None:
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            assert await traffic.meet(NothingDone("no")) is None
        await traffic.meet(Invalid("422: no"))  # a refusal is an answer as well

    assert (await traffic.state()).reason is None


async def test_an_open_circuit_lets_one_request_a_second_through(traffic: Traffic) -> None:
    await traffic.break_down()
    let_through = []
    for _ in range(4):
        let_through.append(sum(one is not None for one in await asyncio.gather(*(traffic.enter() for _ in range(5)))))
        await traffic.later(1)

    assert let_through == [0, 1, 1, 1]


async def test_a_claim_that_is_rolled_back_gives_its_probe_back(traffic: Traffic) -> None:
    await traffic.break_down()
    await traffic.later(1)

    async def claim() -> None:
        async with traffic.database.transaction() as connection:
            await traffic.lane.enter(connection, await traffic.lane.look(connection))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await claim()
    assert await traffic.enter() is not None


async def test_a_probe_that_succeeds_closes_the_circuit_and_resets_the_waits(traffic: Traffic) -> None:
    await traffic.break_down()
    await traffic.later(1)

    reason = await traffic.meet(Done({}))

    assert reason is None
    assert traffic.resets == ["waits", "woken"]


async def test_pings_keep_the_waits_short_while_the_circuit_is_open(traffic: Traffic, cloud: Emulator) -> None:
    """Else a long outage would leave nobody who is due to probe."""
    await traffic.break_down()
    cloud.control("POST", "down")
    await traffic.later(5)
    await traffic.lane.ping()
    while_down = list(traffic.resets)
    cloud.control("POST", "up")
    await traffic.later(5)
    await traffic.lane.ping()

    assert while_down == []
    assert traffic.resets == ["waits", "woken"]
    assert (await traffic.state()).reason == "circuit_open"  # only a real request says that it works


async def test_a_rate_limit_stops_the_whole_lane_for_as_long_as_the_cloud_says(traffic: Traffic) -> None:
    await traffic.meet(RateLimited("429", 30))

    assert await traffic.enter() is None
    await traffic.later(29)
    assert await traffic.enter() is None
    await traffic.later(1.1)
    assert await traffic.enter() is not None
    assert await traffic.enter() is None


async def test_of_two_rate_limits_the_longer_holds(traffic: Traffic) -> None:
    entered = [await traffic.enter() for _ in range(2)]
    await traffic.lane.report(RateLimited("429", 30), entered=entered[0])
    await traffic.lane.report(RateLimited("429", 2), entered=entered[1])

    wait_s = await traffic.probe_in_s()
    assert wait_s is not None
    assert 25 < wait_s <= 30


@pytest.mark.parametrize("outcome", [Done({}), Unknown("timeout")])
async def test_what_was_under_way_does_not_shorten_the_wait_that_was_asked_for(
    traffic: Traffic, outcome: Outcome
) -> None:
    await traffic.meet(RateLimited("429", 1))
    hanging = []
    for _ in range(FAILURES_TO_OPEN + 1):
        await traffic.later(2)
        hanging.append(await traffic.enter())

    await traffic.lane.report(RateLimited("429", 900), entered=hanging.pop())
    for entered in hanging:
        await traffic.lane.report(outcome, entered=entered)

    assert [entered.reason for entered in hanging if entered] == ["rate_limited"] * FAILURES_TO_OPEN
    await traffic.later(890)
    assert await traffic.enter() is None
    await traffic.later(11)
    assert await traffic.enter() is not None


async def test_a_rate_limit_without_a_time_waits_a_while(traffic: Traffic) -> None:
    await traffic.meet(RateLimited("429", None))

    wait_s = await traffic.probe_in_s()
    assert wait_s is not None
    assert 5 < wait_s <= 10


@pytest.mark.parametrize("late", [Done({}), NoFolder("400"), Invalid("422")])
async def test_a_request_sent_before_the_lane_was_stopped_does_not_open_it(traffic: Traffic, late: Outcome) -> None:
    slow, fast = await traffic.enter(), await traffic.enter()
    await traffic.lane.report(RateLimited("429", 30), entered=fast)

    await traffic.lane.report(late, entered=slow)

    assert (await traffic.state()).reason == "rate_limited"


async def test_a_probe_after_a_rate_limit_opens_the_lane(traffic: Traffic) -> None:
    await traffic.meet(RateLimited("429", 30))
    await traffic.later(31)

    assert await traffic.meet(Done({})) is None


async def test_a_wrong_token_stops_everything_until_a_ping_is_accepted(traffic: Traffic, cloud: Emulator) -> None:
    await traffic.meet(Unauthorized("401: unathorized"))
    await traffic.later(3_600)
    alone = await traffic.enter()
    cloud.arm(route="ping", status=401)
    await traffic.lane.ping()
    refused = await traffic.enter()
    await traffic.later(3.1)
    await traffic.lane.ping()

    assert (alone, refused) == (None, None)
    assert await traffic.enter() is not None
    assert traffic.resets == ["woken"]  # whoever was refused alone keeps its wait


async def test_a_missing_route_is_probed_by_another_request_and_then_once_a_minute(traffic: Traffic) -> None:
    await traffic.meet(NoRoute("404: no route"))
    await traffic.later(1.1)
    await traffic.meet(NoRoute("404: no route"))
    await traffic.later(59)
    too_early = await traffic.enter()
    await traffic.later(1.1)

    assert too_early is None
    assert [await traffic.enter() is not None for _ in range(2)] == [True, False]


async def test_a_request_whose_route_alone_is_missing_stops_the_others_for_a_second(traffic: Traffic) -> None:
    await traffic.meet(NoRoute("404: no route"))
    await traffic.later(1.1)

    assert await traffic.meet(Done({})) is None
    assert traffic.resets == ["woken"]


async def test_a_route_that_newly_exists_opens_the_lane(traffic: Traffic, cloud: Emulator) -> None:
    cloud.control("PUT", "capabilities", {"capabilities": []})
    await traffic.later(60)
    await traffic.lane.ping()
    await traffic.meet(NoRoute("404: no route"))
    await traffic.later(60)
    await traffic.lane.ping()
    without_it = (await traffic.state()).reason
    cloud.control("PUT", "capabilities", {"capabilities": ["ticket-info"]})
    await traffic.later(60)
    await traffic.lane.ping()

    assert without_it == "no_route"
    assert (await traffic.state()).reason is None
    assert traffic.resets == ["waits", "woken"]


async def test_a_limit_of_our_own_spaces_the_requests_of_all_processes(traffic: Traffic) -> None:
    limited = replace(traffic, lane=replace(traffic.lane, requests_per_minute=60))

    first = [one is not None for one in await asyncio.gather(*(limited.enter() for _ in range(4)))]
    await limited.later(1)
    second = [one is not None for one in await asyncio.gather(*(limited.enter() for _ in range(4)))]

    assert (sum(first), sum(second)) == (1, 1)


async def test_one_process_pings_for_all(new: Traffic, cloud: Emulator) -> None:
    await asyncio.gather(*(new.lane.ping() for _ in range(5)))

    assert cloud.control("GET", "requests/count")["by_route"] == {"ping": 1}
