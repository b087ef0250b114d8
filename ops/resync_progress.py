"""Watches resyncs until the cloud has acknowledged or refused whatever they found to be pushed.

One that is paused is waited for. Whoever stops watching stops nothing.
"""

import asyncio
from collections.abc import Sequence

from ops import show
from ops.addresses import Addresses
from ops.answers.resyncs import ResyncProgress
from ops.answers.status import CloudUpdaterStatus
from ops.exits import Unreachable
from ops.patience import Patience
from ops.service_api import ServiceApi, api

BEAT_S = 0.25
SLOW_BEAT_S = 2.0


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


async def _watch(addresses: Addresses, request_ids: Sequence[str], *, total: int) -> list[ResyncProgress]:
    """Until nothing of them is to be pushed any more, or they are cancelled."""
    beat_s = BEAT_S
    patience = Patience()
    async with api(addresses, "cloud_updater") as updater:
        with show.progress() as bar:
            task = bar.add_task("recordings pushed", total=total)
            while True:
                try:
                    seen = [one for request_id in request_ids if (one := await _seen(updater, request_id))]
                    doing = await _doing(updater, seen)
                except Unreachable as error:
                    patience.bear(error, todo=_goes_on(request_ids))
                else:
                    patience.heard()
                    pushed = sum(one.made_owed - one.owed for one in seen)
                    bar.update(task, completed=max(0, min(total, pushed)), description=doing)
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


async def _doing(updater: ServiceApi, seen: Sequence[ResyncProgress]) -> str:
    """What is said beside the bar."""
    if any(one.state == "paused" for one in seen):
        return "paused"
    lane = (await updater.get("/status", CloudUpdaterStatus)).lane
    return "recordings pushed" if lane.open else f"stopped: {lane.reason}"
