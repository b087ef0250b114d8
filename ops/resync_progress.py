"""Watches resyncs until the cloud has acknowledged or refused whatever they found to be pushed.

One that is paused is waited for, and so is a way to the cloud that is stopped, a cloud_updater that does not read its
topics, and what a resync with a rate gives way to; each is told on stderr, once, with what lets it go on. Whoever stops
watching stops nothing.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic

from ops import show
from ops.addresses import Addresses
from ops.answers.resyncs import ResyncProgress
from ops.answers.status import CloudUpdaterStatus
from ops.exits import Unreachable
from ops.overview import stopped
from ops.patience import Patience
from ops.service_api import ServiceApi, api

BEAT_S = 0.25
# A request is begun within a moment; what takes longer has a reason.
BEGUN_WITHIN_S = 5.0
SLOW_BEAT_S = 2.0
WAITED_FOR = "(This command waits for that; Ctrl-C ends the wait, and not the resync.)"
GOES_ON_NOW = "It goes on now."


def watched(addresses: Addresses, request_ids: Sequence[str], *, total: int) -> list[ResyncProgress]:
    """How they ended. `total`: recordings that are expected to be pushed. Raises Unreachable."""
    try:
        return asyncio.run(_watch(addresses, request_ids, total=total))
    except KeyboardInterrupt:
        show.note(_goes_on(request_ids))
        raise


def acknowledged(done: Sequence[ResyncProgress]) -> int:
    """Recordings that were pushed, and that the cloud has taken."""
    return max(0, sum(one.made_owed - one.owed - one.refused for one in done))


def refused(done: Sequence[ResyncProgress]) -> int:
    """Recordings that the cloud refuses, or whose folder it has lost."""
    return sum(one.refused for one in done)


@dataclass(frozen=True)
class Doing:
    """What is said beside the bar, and at length what is waited for, if anything is."""

    word: str
    waits_for: str | None = None


async def _watch(addresses: Addresses, request_ids: Sequence[str], *, total: int) -> list[ResyncProgress]:
    """Until nothing of them is to be pushed any more, or they are cancelled."""
    beat_s = BEAT_S
    patience = Patience()
    told: str | None = None
    began_at = monotonic()
    async with api(addresses, "cloud_updater") as updater:
        with show.progress() as bar:
            task = bar.add_task("recordings pushed", total=total)
            while True:
                try:
                    seen = [one for request_id in request_ids if (one := await _seen(updater, request_id))]
                    late = monotonic() - began_at > BEGUN_WITHIN_S
                    doing = await what_is_done(updater, seen, asked=len(request_ids), late=late)
                except Unreachable as error:
                    patience.bear(error, todo=_goes_on(request_ids))
                else:
                    patience.heard()
                    pushed = sum(one.made_owed - one.owed for one in seen)
                    bar.update(task, completed=max(0, min(total, pushed)), description=doing.word)
                    waits = doing.word if doing.waits_for else None
                    if waits != told:
                        told = waits
                        said = show.plain(doing.waits_for or GOES_ON_NOW)
                        bar.console.print(said, highlight=False, soft_wrap=True)
                    if len(seen) == len(request_ids) and all(_is_over(one) for one in seen):
                        return seen
                await asyncio.sleep(beat_s)
                beat_s = min(beat_s * 1.5, SLOW_BEAT_S)


def _goes_on(request_ids: Sequence[str]) -> str:
    return f"It goes on by itself; how far it is: ticketsync resyncs show {request_ids[0]}"


def _is_over(one: ResyncProgress) -> bool:
    return one.state == "cancelled" or (one.state == "carried_out" and not one.owed)


async def _seen(updater: ServiceApi, request_id: str) -> ResyncProgress | None:
    """None: its event is not folded yet."""
    return await updater.find(f"/resyncs/{request_id}", ResyncProgress)


async def what_is_done(updater: ServiceApi, seen: Sequence[ResyncProgress], *, asked: int, late: bool) -> Doing:
    """At present. `asked`: of so many requests some are `seen`. `late`: by now each should have been begun."""
    paused = [one.request_id for one in seen if one.state == "paused"]
    if paused:
        return Doing("paused", f"The resync is paused; it goes on with: ticketsync resyncs resume {paused[0]}")
    ready = await updater.readiness()
    if ready.stopped:
        return Doing("stopped: topics", f"{'; '.join(ready.stopped)}. See ticketsync dlq list. {WAITED_FOR}")
    lane = (await updater.get("/status", CloudUpdaterStatus)).lane
    if not lane.open:
        return Doing(f"stopped: {lane.reason}", f"{stopped(updater.service, lane)} {WAITED_FOR}")
    if late and len(seen) < asked:
        where = "how far it is: ticketsync lag, ticketsync doctor"
        return Doing("not read yet", f"{updater.service} has not read the request yet; {where}. {WAITED_FOR}")
    if any(one.folders_before for one in seen):
        return _gives_way(seen, late=late)
    if late and any(one.state == "waiting" for one in seen):
        behind = f"{updater.service} has not read all that it selects from yet, or has another before it"
        return Doing("not begun yet", f"{behind}; see ticketsync lag, ticketsync resyncs list. {WAITED_FOR}")
    return Doing("recordings pushed")


def _gives_way(seen: Sequence[ResyncProgress], *, late: bool) -> Doing:
    """One that runs does so for a moment after each step; one that has not begun may for long."""
    if not late or all(one.state != "waiting" for one in seen):
        return Doing("gives way")
    before = max(one.folders_before for one in seen)
    folders = "1 folder" if before == 1 else f"{before:,} folders"
    return Doing("gives way", f"It gives way to {folders} whose turn is before it; see ticketsync status. {WAITED_FOR}")
