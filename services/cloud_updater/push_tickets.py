"""Pushes tickets: one update-ticket request per folder in the cloud for everything that is behind there, as far as one
holds it.

A step claims one folder, sends, and records the outcome; the transaction is over before anything is sent. A folder that
owes much is claimed for some requests, one after another: each transaction of its own would wait for the folds, which
lock it as well. A claim that was left behind by a crash, or whose outcome is unknown, leaves a duty (push_again.py).
"""

import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import assert_never
from uuid import uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.claims import MAX_REQUESTS, SHORTEST_WAIT_S, Claimed, Claims
from services.cloud_updater.decisions import (
    Acknowledged,
    AfterPush,
    FolderMissing,
    Narrow,
    NotAcknowledged,
    RejectFiles,
    TryLater,
    decide_after_push,
)
from services.cloud_updater.log_pushes import log_push
from services.cloud_updater.pushes import LeaseLost, Pushes
from services.cloud_updater.settings import CloudUpdaterSettings
from shared.cloud import Cloud, folder_path
from shared.database import Database, is_transient
from shared.gate import Gate
from shared.insist import insist
from shared.lane import Lane
from shared.lane_state import LaneShut, LaneState
from shared.outcome import Done, Outcome
from shared.together import Answers, Together

log = structlog.get_logger()

LINK_VERSION = "link-version"
# A slow cloud gets one request of a claim: whoever stops this process waits for the step, and others for the lease.
FOLLOW_WITHIN_S = 1.0
NOT_SENT = TryLater(0.0, may_take_effect=False, message="not sent: this process slept while it held the folder")


@dataclass(frozen=True)
class _Ready:
    """A request to send, and the lane as it was when it was let through. `leased_until` is of the monotonic clock.

    `more`: other folders may be due as well; without it, whoever records the outcome asks for the next. `arrived`: what
    the cloud has taken already of the same claim, not recorded yet.
    """

    claimed: Claimed
    lane: LaneState
    leased_until: float
    more: bool
    arrived: Sequence[Claimed] = ()

    @property
    def with_versions(self) -> bool:
        return LINK_VERSION in self.lane.capabilities


@dataclass(eq=False)
class PushTickets:
    """The step of the reconcile loop `push_tickets`. Its workers claim and acknowledge together.

    `send_within_s`: total time limit of one request.
    """

    settings: CloudUpdaterSettings
    send_within_s: float
    database: Database
    gate: Gate
    cloud: Cloud
    lane: Lane

    def __post_init__(self) -> None:
        self._answers = Answers()
        self._claim_one = Together(self._claim)
        self._acknowledge_one = Together(self._acknowledge, gather=self._answers.come_up)
        self._ready: deque[_Ready] = deque()
        self._refused_at = -inf  # the last answer that was no success: the lane's row may not say so yet

    async def step(self) -> float | None:
        """Push what one folder owes, and what was claimed for workers that did not come for it.

        Returns 0 if there was a folder, else when to look again.
        """
        if not self._ready:
            try:
                ready = await self._claim_one(None)
            except LaneShut as shut:
                return shut.retry_s
            if not isinstance(ready, _Ready):
                return ready
            self._ready.appendleft(ready)
        looks = []
        while self._ready:
            looks.append(await self._push(self._ready.popleft()))
        return 0 if 0 in looks else looks[-1]

    async def _push(self, ready: _Ready) -> float | None:
        """Returns when to look again."""
        if not self._may_send(ready):
            return await self._record(ready, NOT_SENT)
        follow_until = time.monotonic() + FOLLOW_WITHIN_S
        outcome = await self._send(ready)
        for following in ready.claimed.then:
            refused_lately = time.monotonic() - self._refused_at <= FOLLOW_WITHIN_S
            if refused_lately or time.monotonic() > follow_until or not self._may_send(ready):
                break
            ready = replace(ready, claimed=following, arrived=[*ready.arrived, ready.claimed])
            outcome = await self._send(ready)
        decision = decide_after_push(
            outcome,
            files=len(ready.claimed.files),
            attempts=ready.claimed.attempts,
            probe=ready.lane.probing,
            jitter=random.random(),  # noqa: S311  # nobody is kept out by it
        )
        next_s = await self._record(ready, decision)
        await self.lane.report(outcome, entered=ready.lane)
        return next_s

    def _may_send(self, ready: _Ready) -> bool:
        """Not if this process slept, or its database is another: before an answer somebody else may push something
        newer."""
        return time.monotonic() + self.send_within_s <= ready.leased_until and self.gate.is_open

    async def _send(self, ready: _Ready) -> Outcome:
        with self._answers.one_more():
            outcome = await self.cloud.post(
                "update_ticket",
                folder_path("/recording/update-ticket", ready.claimed.clouds_uuid),
                ready.claimed.body,
                repeatable=True,
            )
        if not isinstance(outcome, Done):
            self._refused_at = time.monotonic()
        return outcome

    async def _claim(self, workers: Sequence[None]) -> Sequence[_Ready | float | None]:
        """For each worker what to send, or when to look again: 0 after a folder that owed nothing. Raises LaneShut.

        A claim costs little more for several folders: what is due besides is for the workers that sleep.
        """
        leased_until = time.monotonic() + self.settings.lease_s
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            claims = Claims(connection)
            lane = await self.lane.look(connection)
            free = self.cloud.workers - self._answers.awaited - len(self._ready)
            unlimited = self.lane.unlimited(lane)
            limit = max(len(workers), free) if unlimited else 1
            claimed = await claims.claim(
                uuid4(),
                lease_s=self.settings.lease_s,
                with_versions=LINK_VERSION in lane.capabilities,
                limit=limit,
                # A troubled lane counts its failures in a row, and hears of the last answer alone.
                requests=MAX_REQUESTS if unlimited and lane.untroubled else 1,
            )
            owing = [one for one in claimed if one.files]
            if nothing_owed := [one for one in claimed if not one.files]:
                await Pushes(connection).acknowledged(nothing_owed, quiet_s=self.settings.push_quiet_s)
            if owing:
                await self.lane.enter(connection, lane)
            ready = [_Ready(one, lane, leased_until, more=len(claimed) == limit) for one in owing]
            for one in ready:
                if not one.with_versions:
                    await claims.note(one.claimed)
            rest = await claims.next_due_s() if len(claimed) < len(workers) else 0
        for one in ready[len(workers) :]:
            self._ready.append(one)
            self.lane.wake()
        return [*ready, *[0.0] * len(nothing_owed), *[rest] * len(workers)][: len(workers)]

    async def _record(self, ready: _Ready, decision: AfterPush) -> float | None:
        """Returns when to look again."""
        claimed = ready.claimed
        next_s: float | None = 0.0
        try:
            if isinstance(decision, Acknowledged):
                recorded, next_s = await self._acknowledge_one(ready)
                if not recorded:
                    alone = partial(self._write, [ready], waits=True)
                    [(recorded, next_s)] = await insist(alone, until=ready.leased_until)
            else:
                await insist(partial(self._store, ready, decision), until=ready.leased_until)
                recorded = True
        except LeaseLost:
            recorded = False
        except Exception as error:
            if not is_transient(error):
                raise
            recorded = False  # it was tried until the lease was over
        if not recorded:
            log.warning("outcome not recorded, the lease was lost", clouds_uuid=claimed.clouds_uuid)
            await self._came_late(ready, decision)
        else:
            for one in ready.arrived:
                log_push(one, Acknowledged())
            log_push(claimed, decision)
        return next_s

    async def _came_late(self, ready: _Ready, decision: AfterPush) -> None:
        """Somebody else had the folder meanwhile and may have pushed something newer before this took effect."""
        effect = isinstance(decision, Acknowledged) or (isinstance(decision, TryLater) and decision.may_take_effect)
        late = [*ready.arrived, ready.claimed] if effect else ready.arrived
        if ready.with_versions or not late:
            return
        files = [file for one in late for file in one.files]

        async def write() -> None:
            async with self.database.transaction() as connection:
                await Claims(connection).push_once_more(files, after_s=self.settings.second_push_after_s)

        await insist(write, until=time.monotonic() + self.settings.lease_s)  # nobody else knows

    async def _acknowledge(self, pushed: Sequence[_Ready]) -> Sequence[tuple[bool, float | None]]:
        """Record these successes, all in one transaction: whether each was recorded, and when to look again.

        Those whose folder somebody else has locked are not. Whoever waits for such a folder waits alone: the others'
        leases would end meanwhile.
        """
        return await insist(partial(self._write, pushed), until=max(one.leased_until for one in pushed))

    async def _write(self, pushed: Sequence[_Ready], *, waits: bool = False) -> list[tuple[bool, float | None]]:
        async with self.database.transaction() as connection:
            pushes = Pushes(connection)
            if waits:
                [alone] = pushed
                await pushes.lock(alone.claimed.clouds_uuid)
            found = await pushes.acknowledged([one.claimed for one in pushed], quiet_s=self.settings.push_quiet_s)
            for one in pushed:
                if one.claimed.clouds_uuid in found and not one.with_versions:
                    await self._end_claim(connection, one.claimed, may_take_effect=False)
            next_s: float | None = 0.0
            if not any(one.more for one in pushed):
                due_s = await Claims(connection).next_due_s()
                next_s = 0.0 if due_s == SHORTEST_WAIT_S else due_s
        return [(one.claimed.clouds_uuid in found, next_s) for one in pushed]

    async def _store(self, ready: _Ready, decision: NotAcknowledged) -> None:
        """One transaction, in the order of locks: duties, recordings, ledger. Raises LeaseLost."""
        claimed = ready.claimed
        async with self.database.transaction() as connection:
            if not ready.with_versions:
                unknown = isinstance(decision, TryLater) and decision.may_take_effect
                await self._end_claim(connection, claimed, may_take_effect=unknown)
            pushes = Pushes(connection)
            if isinstance(decision, RejectFiles):
                await pushes.reject(claimed, decision.messages)
            if ready.arrived:
                await pushes.arrived(ready.arrived[-1])
            match decision:
                case TryLater(wait_s, _, message):
                    await pushes.failed(claimed, wait_s=wait_s, message=message)
                case RejectFiles():
                    await pushes.narrowed(claimed, batch_limit=None, message=None)
                case Narrow(limit, message):
                    await pushes.narrowed(claimed, batch_limit=limit, message=message)
                case FolderMissing(message):
                    await pushes.missing(claimed, message=message)
                case _:
                    assert_never(decision)

    async def _end_claim(self, connection: AsyncConnection, claimed: Claimed, *, may_take_effect: bool) -> None:
        await Claims(connection).end_claim(
            claimed, may_take_effect=may_take_effect, second_push_after_s=self.settings.second_push_after_s
        )
