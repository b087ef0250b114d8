"""Faults of the cloud and of the way to it. Each returns how often it was seen to happen, by evidence from outside."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.faults.run import Run, until
from tests.faults.site import LATE_S

SENDS = ("transfer", "cloud_updater")
ROUTES = {"transfer": ("create", "inject"), "cloud_updater": ("update_ticket",)}
CLOUD_FAULTS: tuple[dict[str, Any], ...] = (
    {"kind": "close_after_effect"},
    {"kind": "close_before_effect"},
    {"kind": "answer_after_effect", "status": 500},
    {"kind": "answer", "status": 429, "headers": {"Retry-After": "1"}},
    {"kind": "answer", "status": 503},
    {"kind": "slow_effect", "delay_s": 6},
)
# Longer than a member of a group may be silent (10 s), so that one that an outage keeps busy would be put out.
AWAY_S = 14.0
SETTLED_S = 3.0
GIVEN_ANEW = "Preparing to rebalance group ticketsync."


async def late_effects(run: Run) -> int:
    """The cloud answers nothing, and does what it was asked for after something newer."""
    return await _fails(run, [{"kind": "late_effect", "route": "update_ticket", "delay_s": LATE_S, "times": 3}])


async def cloud_fails(run: Run) -> int:
    """Errors, cut connections, slowness, of an upload and of a push: with the effect and without it."""
    return await _fails(
        run,
        [{**fault, "route": run.chance.choice(routes)} for fault in CLOUD_FAULTS for routes in ROUTES.values()],
    )


async def _fails(run: Run, faults: list[dict[str, Any]]) -> int:
    await run.site.cloud("DELETE", "/faults")
    for fault in run.chance.sample(faults, len(faults)):
        await run.site.cloud("POST", "/faults", json=fault)

    async def taken() -> int:
        armed = (await run.site.cloud("GET", "/faults"))["faults"]
        return sum(one["taken"] for one in armed) if all(one["taken"] for one in armed) else 0

    try:
        return await until(taken, "requests that meet the cloud's faults")
    finally:
        await asyncio.sleep(max(float(one.get("delay_s", 0)) for one in faults))
        await run.site.cloud("DELETE", "/faults")


async def cloud_away(run: Run) -> int:
    """The cloud does nothing for anybody, under load: all copies of a service together try it once a second at most,
    no group of consumers is given anew, and all that has gathered is let go afterwards (the calm sees that)."""
    # Processes that were ended a moment ago come back first, and their groups are given anew for that.
    for copy in run.site.copies:
        await until(lambda copy=copy: _has_a_share(run, copy.url), f"{copy.name} at work")  # type: ignore[misc]
    given = await _settled_groups(run)
    await run.site.cloud("POST", "/down")
    try:
        for service in SENDS:
            await until(_lane(run, service, "circuit_open"), f"{service} notices the outage")
        before, began_s = await _asked(run), time.monotonic()
        await asyncio.sleep(AWAY_S)
        after, lasted_s = await _asked(run), time.monotonic() - began_s
    finally:
        await run.site.cloud("POST", "/up")
    for service in SENDS:
        await until(_lane(run, service, None), f"{service} goes on")
    probes = {service: after[service] - before[service] for service in SENDS}
    run.broken += [
        f"{service} tried a cloud that is away {number} times in {lasted_s:.1f} s"
        for service, number in probes.items()
        if number > lasted_s + 1
    ]
    if (now := _groups_given(run)) != given:
        run.broken.append(f"{now - given} times a group was given anew while the cloud was away")
    return min(probes.values())


def _lane(run: Run, service: str, reason: str | None) -> Callable[[], Awaitable[bool]]:
    async def is_so() -> bool:
        answer = await run.load.ask_service(service, "GET", "/status")
        return answer is not None and answer.json()["lane"].get("reason") == reason

    return is_so


async def _asked(run: Run) -> dict[str, int]:
    """How many requests of each service the cloud has answered, pings apart."""
    by_route = (await run.site.cloud("GET", "/requests/count"))["by_route"]
    return {service: sum(by_route.get(route, 0) for route in routes) for service, routes in ROUTES.items()}


async def _has_a_share(run: Run, url: str) -> bool:
    try:
        folds = (await run.site.http.get(f"{url}/readyz", timeout=3)).json()["folds"]
    except (httpx.HTTPError, KeyError):
        return False
    return all(one["assigned"] for one in folds.values())


def _groups_given(run: Run) -> int:
    return run.site.log_of("kafka").count(GIVEN_ANEW)


async def _settled_groups(run: Run) -> int:
    """How often groups were given anew, once that has come to rest."""
    found = -1
    while (now := _groups_given(run)) != found:
        found = now
        await asyncio.sleep(SETTLED_S)
    return found
