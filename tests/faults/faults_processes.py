"""Faults of the services' own processes. Each returns how often it was seen to happen, by evidence from outside."""

import asyncio
import signal
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import httpx
import psutil

from tests.faults.claims_seen import claims_seen
from tests.faults.process import EXIT_CRASHED
from tests.faults.run import NeverSeen, Run, until
from tests.faults.site import Copy, told
from tests.simulation.points import Point

SENDS = ("transfer", "cloud_updater")
KILLED = "killed by SIGKILL"
ANNOUNCERS_TRIED, CAME_LATE_WITHIN_S = 3, 25.0


def crash_at(point: Point, *services: str) -> Callable[[Run], Awaitable[int]]:
    """The process that next comes to this point, once or for the second time, ends there as if its power were cut."""

    async def crash(run: Run) -> int:
        service = run.chance.choice(services)
        copies = run.site.copies_of(service)
        async with run.orders[service]:
            before = _crashes(run, copies)
            await _order("crash", point, copies, number=run.chance.choice((1, 2)))

            async def ended() -> int:
                return _crashes(run, copies) - before

            return await until(ended, f"{service} ends at {point}")

    return crash


def _crashes(run: Run, copies: Sequence[Copy]) -> int:
    return sum(run.site.ended(one.name, f"exit {EXIT_CRASHED}") for one in copies)


async def _order(kind: str, point: Point, copies: Sequence[Copy], *, number: int = 1) -> str:
    """Tell these copies; the first that comes there does it. Returns what it happened to."""
    before = {one.name: len(one.seen()) for one in copies}

    async def carried_out() -> list[str]:
        return [line for one in copies for line in one.seen()[before[one.name] :]]

    with told(kind, point, copies, number=number):
        [first] = await until(carried_out, f"{copies[0].service}: {kind} at {point}")
    return first.split(maxsplit=2)[2]


async def killed(run: Run) -> int:
    """SIGKILL, whatever it is doing."""
    found = 0
    for service in run.chance.sample(("linker", *SENDS), 2):
        copy = run.one_of(service)
        before, killed = await _running(copy), run.site.ended(copy.name, KILLED)
        with suppress(psutil.NoSuchProcess):  # another fault of this moment was faster
            before.kill()
        await until(lambda copy=copy, before=before: _another(copy, before), f"{copy.name} again")  # type: ignore[misc]
        found += run.site.ended(copy.name, KILLED) - killed
    return found


async def told_to_stop(run: Run) -> int:
    """SIGTERM while requests to the cloud are open: they are cut off, or end in time."""
    service, route = run.chance.choice(
        (("transfer", "create"), ("transfer", "inject"), ("cloud_updater", "update_ticket"))
    )
    await run.site.cloud(
        "POST", "/hold", json={"route": route, "moment": run.chance.choice(("before_effect", "after_effect"))}
    )

    async def held() -> int:
        return int((await run.site.cloud("GET", "/requests/count"))["held"])

    try:
        await until(held, f"a request held at {route}")
        copies = run.site.copies_of(service)
        ended = {one.name: run.site.ended(one.name, "exit 0") for one in copies}
        for one in copies:
            (await _running(one)).terminate()
        await asyncio.sleep(run.chance.uniform(0, 1))
    finally:
        await run.site.cloud("POST", "/release", json={})

    async def stopped() -> int:
        done = [run.site.ended(name, "exit 0") > number for name, number in ended.items()]
        return len(done) if all(done) else 0

    return await until(stopped, f"all of {service} end as told")


async def two_owners(run: Run) -> int:
    """SIGSTOP until the group has given everything to the other process; then both believe to own it."""
    service = run.chance.choice(("linker", *SENDS))
    sleeper, other = run.chance.sample(run.site.copies_of(service), 2)
    await until(lambda: _has_all(run, other, but=sleeper), f"{sleeper.name} has a share")
    process = await _running(sleeper)
    process.suspend()
    try:
        await until(lambda: _has_all(run, other), f"{other.name} alone")
        # Stopped with what it had: it can neither have given it back nor have been put in another's place.
        both = process.status() == psutil.STATUS_STOPPED and sleeper.process() == process
    finally:
        process.resume()
    await until(lambda: _has_all(run, other, but=sleeper), f"{sleeper.name} has a share again")
    return int(both)


async def slept_before_sending(run: Run) -> int:
    """A worker that stops after its last look at the lease, and sends when somebody else has sent something newer."""
    return await _asleep(run, run.chance.choice(SENDS), Point.SENDING)


async def slept_with_the_answer(run: Run) -> int:
    """A worker that has the cloud's answer and wants to record it when its lease is long over."""
    return await _asleep(run, run.chance.choice(SENDS), Point.ANSWERED)


async def _asleep(run: Run, service: str, point: Point) -> int:
    """Until another worker has claimed just what the sleeper holds, under a token of its own: both have it then."""
    async with run.orders[service], claims_seen(run.site, service) as claims:
        request = await _order("stop", point, [run.one_of(service)])
        try:
            folder, own = await claims.token_of(request)

            async def taken_over() -> int:
                return await claims.others(folder, own)

            await until(taken_over, f"{service}: somebody else claims {folder}, which a sleeper holds")
        finally:
            woken = _wake_up(run, service)
    return woken


async def late_announcer(run: Run) -> int:
    """An announcer that stops with an old link in its hand, and publishes it behind the newer one."""
    async with run.orders["linker"], run.load.pause():
        for _ in range(ANNOUNCERS_TRIED):
            before = run.watch.overtaken
            await _overtake_an_announcer(run)

            async def came_late(before: int = before) -> int:
                return run.watch.overtaken - before

            with suppress(NeverSeen):  # it was something else that the announcer had in its hand
                return await until(came_late, "the old link behind the newer one", within_s=CAME_LATE_WITHIN_S)
    raise NeverSeen("no announcer published an old link behind a newer one")


async def _overtake_an_announcer(run: Run) -> None:
    one = run.chance.choice(run.load.books.free())
    copies = run.site.copies_of("linker")

    async def stopped() -> bool:
        return any([await _is_stopped(copy) for copy in copies])

    with told("stop", Point.GATHERED, copies):
        await run.load.link_one(one)
        await until(stopped, "an announcer that stands still")
    version = run.watch.version_of(one.recording_id)
    await run.load.link_one(one)

    async def overtook() -> bool:
        return run.watch.version_of(one.recording_id) > version

    with suppress(NeverSeen):
        await until(overtook, "the other announcer publishes a newer one", within_s=CAME_LATE_WITHIN_S)
    _wake_up(run, "linker")


def _wake_up(run: Run, service: str) -> int:
    woken = 0
    for copy in run.site.copies_of(service):
        process = copy.process()
        with suppress(psutil.NoSuchProcess):
            if process and process.status() == psutil.STATUS_STOPPED:
                process.send_signal(signal.SIGCONT)
                woken += 1
    return woken


async def _running(copy: Copy) -> psutil.Process:
    async def found() -> psutil.Process | None:
        return copy.process()

    return await until(found, f"{copy.name} runs")


async def _another(copy: Copy, before: psutil.Process) -> bool:
    now = copy.process()
    return now is not None and now != before


async def _is_stopped(copy: Copy) -> bool:
    process = copy.process()
    with suppress(psutil.NoSuchProcess):
        return process is not None and process.status() == psutil.STATUS_STOPPED
    return False


async def _has_all(run: Run, other: Copy, *, but: Copy | None = None) -> bool:
    """Whether this copy alone has every partition; with `but`, whether that one has some of them again."""
    try:
        folds = (await run.site.http.get(f"{(but or other).url}/readyz", timeout=3)).json()["folds"]
    except (httpx.HTTPError, KeyError):  # it does not say while its database keeps it waiting
        return False
    shares = [one["assigned"] for one in folds.values()]
    return any(shares) if but else min(shares) >= run.site.partitions
