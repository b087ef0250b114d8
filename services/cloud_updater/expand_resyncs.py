"""Carries out resync requests: makes what they select owed, some folders at a time, so that no transaction is long, and
no faster than it is pushed.

A request acts once, so what it selects must be known before. It waits until the transfers and links are folded that the
topics held when it was taken up: in daily work for the moment that this service is behind, in a database that was lost
until all of them are read again. One with a rate makes nothing owed while the lane is stopped, or before what it made
owed last is taken up: else all of it would be sent at once, and faster than the rate, when the way is free again. What
becomes due after that has its turn after it, so that a site on which something is always due cannot hold it up.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import RECORDING_TRANSFERRED, TICKET_LINKED
from services.cloud_updater.decisions import OpenRequest, decide_resync_lot
from services.cloud_updater.resync_requests import ResyncRequests
from services.cloud_updater.resyncs import Resyncs
from services.cloud_updater.seen_resyncs import ResyncsSeen
from shared import lane_row, positions
from shared.database import Database, notify
from shared.gate import Ends, Gate, Offsets

log = structlog.get_logger()

SELECTED_FROM: Sequence[str] = (RECORDING_TRANSFERRED.name, TICKET_LINKED.name)
FOLDERS_AT_ONCE = 200
# So many folders may wait for their push before a step makes more of them wait: a pause or an end is felt soon.
FOLDERS_AHEAD = 400
LOOK_AGAIN_S = 0.1
AFTER_FAILURE_S = 1.0
ASK_AGAIN_S = 1.0
SAY_EVERY_S = 60.0


@dataclass(eq=False)
class ExpandResyncs:
    """The step of a reconcile loop. `ends`: where the topics end that requests select from."""

    database: Database
    gate: Gate
    ends: Ends
    say_every_s: float = SAY_EVERY_S
    _waits: str | None = None
    _say_at: float = 0.0
    _targets: dict[str, Offsets] = field(default_factory=dict)
    _asked_at: float = 0.0

    async def step(self) -> float | None:
        """Carry out one bounded part of the oldest open request, or see whether it can be."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            request = await ResyncRequests(connection).next_open()
            if request is None:
                return None
            folded = await positions.read(connection, SELECTED_FROM)
            targets = self._targets.get(request.request_id)
            if targets is not None and all(folded.get(partition, 0) >= end for partition, end in targets.items()):
                await self._carry_out(request, connection)
                return 0
        self._say_that_it_waits(request, folded, targets or {})
        if targets is not None and time.monotonic() - self._asked_at < ASK_AGAIN_S:
            return LOOK_AGAIN_S
        return await self._take_up(request, folded)

    def _say_that_it_waits(self, request: OpenRequest, folded: Offsets, targets: Offsets) -> None:
        """Requests are carried out in order: behind one that waits for a fold that does not get on, all wait."""
        now_s = time.monotonic()
        if self._waits != request.request_id:
            self._waits, self._say_at = request.request_id, now_s + self.say_every_s
        elif now_s >= self._say_at:
            self._say_at = now_s + self.say_every_s
            behind = sum(max(0, end - folded.get(partition, 0)) for partition, end in targets.items())
            log.warning("resync waits until it is known what there is", request_id=request.request_id, to_fold=behind)

    async def _take_up(self, request: OpenRequest, folded: Offsets) -> float:
        """Note where the topics end, if they do not end before what was noted: then they were made anew since."""
        self._asked_at = time.monotonic()
        try:
            targets = await self.ends()
        except (KafkaError, TimeoutError) as error:
            log.warning("resync waits for Kafka", request_id=request.request_id, error=type(error).__name__)
            return AFTER_FAILURE_S
        noted = self._targets.get(request.request_id)
        if noted is not None and all(end <= targets.get(partition, 0) for partition, end in noted.items()):
            return LOOK_AGAIN_S
        if any(folded.get(partition, 0) > end for partition, end in targets.items()):
            return LOOK_AGAIN_S  # a topic that was made anew: the fold sets the position back, and then it counts
        self._targets[request.request_id] = targets
        return 0

    async def _carry_out(self, request: OpenRequest, connection: AsyncConnection) -> None:
        seen, requests = ResyncsSeen(connection), ResyncRequests(connection)
        shares = await seen.shares(request, after=request.after_uuid, limit=FOLDERS_AT_ONCE)
        if not shares:
            await requests.finish(request)
            self._targets.pop(request.request_id, None)
            log.info("resync carried out", request_id=request.request_id, force=request.force)
        elif await _too_early(request, connection):
            await requests.wait(request, wait_s=LOOK_AGAIN_S)
        else:
            lot = decide_resync_lot(shares, rate_per_minute=request.rate_per_minute)
            await Resyncs(connection).push(request, [share.clouds_uuid for share in lot.shares])
            await requests.progress(
                request,
                after_uuid=lot.shares[-1].clouds_uuid,
                made_owed=sum(share.to_push for share in lot.shares),
                wait_s=lot.wait_s,
            )
            await notify(connection, ["push_tickets"])


async def _too_early(request: OpenRequest, connection: AsyncConnection) -> bool:
    """Whether what is owed already has to be sent first."""
    seen = ResyncsSeen(connection)
    if request.rate_per_minute:
        return (await lane_row.look(connection)).reason is not None or await seen.backlog(request.turn_at)
    return bool(request.after_uuid) and await seen.due_folders(limit=FOLDERS_AHEAD) == FOLDERS_AHEAD
