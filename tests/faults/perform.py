"""Performs a run: faults in a given order on one site under load, with a calm now and then and at the end."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.faults.classes import CLASSES, ENDS, NEEDS_A_DISK, SHORT, WORKERS, WORKERS_SHORT
from tests.faults.load import Load
from tests.faults.run import NeverSeen, NotSettled, Report, Run, Say
from tests.faults.site import running_site
from tests.faults.watch import Watch

CALM_AFTER = 6
BEFORE_IT_BEGINS = 20
CAPABILITIES = ("ticket-info", "idempotency-key", "read")

Order = Sequence[Sequence[str]]


def all_in_some_order(seed: int) -> Order:
    """Every class, alone, in an order that the seed decides."""
    names = list(CLASSES)
    random.Random(seed).shuffle(names)
    return [(name,) for name in names]


async def perform(data_dir: Path, seed: int, order: Order, *, say: Say, bug: str = "") -> Report:
    """Do it, whatever breaks on the way; what broke is in the report. `bug`: a rule to take out of the product."""
    async with running_site(data_dir, bug=bug, say=lambda line: say(f"    {line}")) as site:
        chance = random.Random(seed)
        load = Load(site, random.Random(seed), WORKERS_SHORT if order is SHORT else WORKERS)
        watch = Watch(site)
        run = Run(site, load, watch, chance, say)
        # A cloud that compares versions would hide what came in the wrong order; half of the seeds are not so kind.
        versions = ("link-version",) if seed % 2 else ()
        await site.cloud("PUT", "/capabilities", json={"capabilities": [*CAPABILITIES, *versions]})
        say(f"ready: {len(site.copies)} processes of services")
        watching = asyncio.create_task(watch.run())
        unseen: dict[str, str] = {}
        try:
            async with load.running():
                while len(load.books.recordings) < BEFORE_IT_BEGINS:  # noqa: ASYNC110  # the load's own pace
                    await asyncio.sleep(0.2)
                unseen = await _break(run, order)
        except NotSettled:
            pass
        finally:
            broken = _of_the_watch(watching)
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    broken += [*watch.broken, *load.odd, *run.broken]
    for name in {one for group in order for one in group} - run.seen.keys():
        unseen.setdefault(name, "the run ended before")
    groups = tuple(tuple(group) for group in order)
    return Report(seed, groups, run.seen, unseen, tuple(broken), len(load.books.recordings), len(watch.effects))


async def _break(run: Run, order: Order) -> dict[str, str]:
    """Each class as it comes; why those that were not seen were not. Raises NotSettled."""
    unseen: dict[str, str] = {}
    ended: Counter[tuple[str, str]] = Counter()
    for number, group in enumerate(order, start=1):
        run.say(f"{number:>2}/{len(order)}  {', '.join(group)}")
        possible = [name for name in group if name != NEEDS_A_DISK or run.site.disk]
        found = await asyncio.gather(*(_seen(run, name) for name in possible), return_exceptions=True)
        for name, result in zip(possible, found, strict=True):
            if isinstance(result, NeverSeen):
                unseen[name] = str(result)
                run.say(f"    NOT SEEN: {name}: {result}")
            elif isinstance(result, BaseException):
                raise result
        for name in set(group) - set(possible):
            run.seen[name] = 0
            run.say(f"    left out, only root can give PostgreSQL a disk to fill: {name}")
        if number % CALM_AFTER == 0 or number == len(order):
            await _calm(run)
        ended += _judge_ends(run, group, ended)
    return unseen


def _judge_ends(run: Run, group: Sequence[str], before: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
    """How processes of services have ended since; what none of these faults explains is a broken promise."""
    since = run.site.ends - before
    may = {how for name in group for how in ENDS.get(name, ())}
    names = {copy.name for copy in run.site.copies}
    run.broken += [
        f"{name} ended ({how}), which these faults do not explain: {', '.join(group)}"
        for name, how in since
        if name in names and how not in may
    ]
    return since


async def _seen(run: Run, name: str) -> None:
    times = await CLASSES[name](run)
    if not times:
        raise NeverSeen("nothing of it was seen")
    run.seen[name] += times


async def _calm(run: Run) -> None:
    async with run.calm():
        books = run.load.books
        run.say(
            f"    at rest: {len(books.recordings)} recordings, {len(run.watch.effects)} effects, all as it should be"
        )


def _of_the_watch(watching: asyncio.Task[None]) -> list[str]:
    """A watch that ended has seen something that it does not understand."""
    error = watching.exception() if watching.done() and not watching.cancelled() else None
    return [f"the watch ended: {error!r}"] if error else []
