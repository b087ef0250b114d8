"""Waits until everything that was asked for before now has been done, or cannot be done without a person.

Where the topics end now is noted first; then every service must have folded that far, because only then do they know
all of the work; then they are asked until nothing is left. A service that is started again meanwhile is waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from ops import show
from ops.addresses import Addresses, Service
from ops.answers import Blocked
from ops.answers.reading import Positions
from ops.exits import Unreachable
from ops.kafka_access import kafka_answers
from ops.lookup import folder_id_of
from ops.overview import Services, Whole
from schemas.topics import TOPICS
from shared.topics import extents

BEAT_S = 0.25
TOLD_EVERY_S = 0.2
# What no amount of waiting changes; `retrying` is not among them.
NEED_A_PERSON: tuple[Blocked, ...] = ("rejected", "outcome_unknown", "missing_in_cloud")

Verdict = Literal["settled", "stuck", "working"]
Place = tuple[str, int]
Answered = TypeVar("Answered")


@dataclass
class Watch:
    """What was seen last, for whoever watches and for whoever asks why it took too long."""

    doing: str = "looking where the topics end"
    overview: Whole | None = None
    unreachable: Unreachable | None = None


async def wait_and_tell(
    addresses: Addresses, services: Services, folder: str | None, timeout_s: float
) -> tuple[Verdict, Whole | None]:
    """The verdict of `wait_until_settled` and what it was reached by; meanwhile stderr says what is waited for."""
    watch = Watch()
    task = asyncio.create_task(wait_until_settled(addresses, services, folder, timeout_s, watch))
    with show.notes().status("waiting") as line:
        while not task.done():
            await asyncio.wait([task], timeout=TOLD_EVERY_S)
            line.update(show.plain(watch.doing))
    if await task == "working":
        show.note(f"Last seen: {watch.doing}")
    return await task, watch.overview


async def wait_until_settled(
    addresses: Addresses, services: Services, folder: str | None, timeout_s: float, watch: Watch
) -> Verdict:
    """How it stands when nothing moves any more; "working" if that is not so within `timeout_s`.

    A folder is looked up when everything is folded, since it may have been published a moment ago. Raises Finding if
    nobody knows it even then, Unreachable if a server was still unreachable when the time was over.
    """
    try:
        async with asyncio.timeout(timeout_s):
            ends = await _patiently(partial(_ends, addresses), watch)
            await _folded(services, ends, watch)
            folder_id = await _patiently(partial(folder_id_of, services.linker, folder), watch)
            verdict = await _at_rest(services, folder_id, watch)
            # An upload that was waited for is on its topic by now; what follows from it is known once it is folded.
            then = await _patiently(partial(_ends, addresses), watch)
            if then == ends:
                return verdict
            await _folded(services, then, watch)
            return await _at_rest(services, folder_id, watch)
    except TimeoutError:
        if watch.unreachable:
            raise watch.unreachable from None
        return "working"


def judge(overview: Whole) -> Verdict:
    """Whether anything is still to be expected from waiting.

    "stuck": all that remains needs a person. Second pushes after unknown outcomes are in none of these numbers.
    """
    states = overview.linker.states
    stuck_before = sum(overview.transfer.blocked.get(reason, 0) for reason in NEED_A_PERSON)
    stuck_after = sum(overview.cloud_updater.blocked.get(reason, 0) for reason in NEED_A_PERSON)
    if (
        overview.linker.working
        or overview.transfer.working
        or overview.cloud_updater.owed
        or states.get("not_transferred", 0) > stuck_before
        or states.get("pending", 0) > stuck_after
    ):
        return "working"
    return "stuck" if stuck_before or stuck_after else "settled"


def behind(service: Service, positions: Positions, ends: Mapping[Place, int]) -> int:
    """How many records before `ends` a service has not folded yet."""
    consumed = {topic.name for topic in TOPICS if service in topic.consumers}
    reached = {(one.topic, one.partition): one.next_offset for one in positions.positions}
    return sum(
        max(0, end - reached.get((topic, partition), 0))
        for (topic, partition), end in ends.items()
        if topic in consumed
    )


async def _ends(addresses: Addresses) -> dict[Place, int]:
    """Where the topics end, of the partitions that still hold anything to fold."""
    kafka = addresses.kafka()
    with kafka_answers(kafka):
        found = await extents(kafka, [topic.name for topic in TOPICS if topic.event])
    return {place: offsets.stop for place, offsets in found.items() if offsets}


async def _folded(services: Services, ends: Mapping[Place, int], watch: Watch) -> None:
    """Ask one service after the other; while one is waited for, the others go on."""
    for service, asked in services.by_name().items():
        while records := behind(service, await _patiently(partial(asked.get, "/positions", Positions), watch), ends):
            watch.doing = f"{asked.service} has {records:,} records to fold"
            await asyncio.sleep(BEAT_S)


async def _at_rest(services: Services, folder_id: str | None, watch: Watch) -> Verdict:
    verdict: Verdict = "working"
    while True:
        before = verdict
        overview = await _patiently(partial(services.whole, folder_id), watch)
        watch.overview = overview
        verdict = judge(overview)
        # The three answers are not of one instant, so "stuck" has to be seen twice; "settled" cannot be seen too early.
        if verdict == "settled" or before == verdict == "stuck":
            return verdict
        states = overview.linker.states
        watch.doing = (
            f"not transferred: {states.get('not_transferred', 0):,}, pending: {states.get('pending', 0):,}, "
            f"to upload or announce: {overview.transfer.working:,}, owed: {overview.cloud_updater.owed:,}"
        )
        await asyncio.sleep(BEAT_S)


async def _patiently(ask: Callable[[], Awaitable[Answered]], watch: Watch) -> Answered:
    """Ask until there is an answer; the time limit is the caller's."""
    while True:
        try:
            answer = await ask()
        except Unreachable as error:
            watch.unreachable = error
            watch.doing = error.message
            await asyncio.sleep(BEAT_S)
        else:
            watch.unreachable = None
            return answer
