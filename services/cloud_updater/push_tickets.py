"""Pushes tickets: one update-ticket request per folder in the cloud for everything that is behind there.

A step claims one folder, sends, and records the outcome; the transaction is over before anything is sent. A claim that
was left behind by a crash, or whose outcome is unknown, may yet take effect in the cloud after something newer: its
recordings are pushed once more after a while, in the state they have then.
"""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import assert_never
from uuid import uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.claims import Claimed, Claims
from services.cloud_updater.decisions import (
    Acknowledged,
    AfterPush,
    FolderMissing,
    Narrow,
    NotAcknowledged,
    RejectFiles,
    TryLater,
    decide_after_push,
    push_body,
)
from services.cloud_updater.pushes import LeaseLost, Pushes
from services.cloud_updater.resyncs import Resyncs
from services.cloud_updater.settings import CloudUpdaterSettings
from shared.cloud import Cloud, folder_path
from shared.database import Database
from shared.gate import Gate
from shared.insist import insist
from shared.lane import Lane
from shared.lane_state import LaneShut, LaneState
from shared.outcome import Outcome
from shared.together import Together

log = structlog.get_logger()

LINK_VERSION = "link-version"
DUTIES_AT_ONCE = 500
REFUSALS_LOGGED = 20
ANSWERS_WAITED_FOR_MS = 4
NOT_SENT = TryLater(0.0, may_take_effect=False, message="not sent: this process slept while it held the folder")


@dataclass(frozen=True)
class _Ready:
    """A request to send, and the lane as it was when it was let through. `leased_until` is of the monotonic clock."""

    claimed: Claimed
    lane: LaneState
    leased_until: float

    @property
    def with_versions(self) -> bool:
        return LINK_VERSION in self.lane.capabilities


@dataclass(eq=False)
class PushTickets:
    """The steps of the reconcile loops `push_tickets` and `push_again`. Its workers claim and acknowledge together.

    `send_within_s`: total time limit of one request.
    """

    settings: CloudUpdaterSettings
    send_within_s: float
    database: Database
    gate: Gate
    cloud: Cloud
    lane: Lane

    def __post_init__(self) -> None:
        self._claim_one = Together(self._claim)
        self._acknowledge_one = Together(self._acknowledge, gather=self._answers_that_come)
        self._sending = 0

    async def step(self) -> float | None:
        """Push what one folder owes. Returns 0 if there was a folder, else when to look again."""
        try:
            ready = await self._claim_one(None)
        except LaneShut as shut:
            return shut.retry_s
        if not isinstance(ready, _Ready):
            return ready
        if time.monotonic() + self.send_within_s > ready.leased_until:
            # This process slept, and before an answer could come somebody else may push something newer.
            await self._record(ready, NOT_SENT)
            return 0
        claimed = ready.claimed
        outcome = await self._send(ready)
        decision = decide_after_push(
            outcome,
            files=len(claimed.files),
            attempts=claimed.attempts,
            probe=ready.lane.probing,
            jitter=random.random(),  # noqa: S311  # nobody is kept out by it
        )
        await self._record(ready, decision)
        await self.lane.report(outcome, entered=ready.lane)
        return 0

    async def _send(self, ready: _Ready) -> Outcome:
        self._sending += 1
        try:
            return await self.cloud.post(
                "update_ticket",
                folder_path("/recording/update-ticket", ready.claimed.clouds_uuid),
                push_body(ready.claimed.files, with_versions=ready.with_versions),
                repeatable=True,
            )
        finally:
            self._sending -= 1

    async def _answers_that_come(self) -> None:
        """Let other workers' answers come up: one transaction for all costs little more than one for each.

        Nobody waits who is alone, and nobody for long.
        """
        for _ in range(ANSWERS_WAITED_FOR_MS):
            if self._sending == 0:
                break
            await asyncio.sleep(0.001)

    async def _claim(self, workers: Sequence[None]) -> Sequence[_Ready | float | None]:
        """For each worker what to send, or when to look again: 0 after a folder that owed nothing. Raises LaneShut."""
        leased_until = time.monotonic() + self.settings.lease_s
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            claims = Claims(connection)
            lane = await self.lane.look(connection)
            limit = len(workers) if self.lane.unlimited(lane) else 1
            claimed = await claims.claim(uuid4(), lease_s=self.settings.lease_s, limit=limit)
            owing = [one for one in claimed if one.files]
            if nothing_owed := [one for one in claimed if not one.files]:
                await Pushes(connection).acknowledged(nothing_owed, quiet_s=self.settings.push_quiet_s)
            if owing:
                await self.lane.enter(connection, lane)
            ready = [_Ready(one, lane, leased_until) for one in owing]
            for one in ready:
                if not one.with_versions:
                    await claims.note(one.claimed)
            rest = await claims.next_due_s() if len(claimed) < limit else 0
        return [*ready, *[0.0] * len(nothing_owed), *[rest] * (len(workers) - len(claimed))]

    async def _record(self, ready: _Ready, decision: AfterPush) -> None:
        claimed = ready.claimed
        try:
            if isinstance(decision, Acknowledged):
                recorded = await self._acknowledge_one(ready)
            else:
                await insist(partial(self._store, ready, decision), until=ready.leased_until)
                recorded = True
        except LeaseLost:
            recorded = False
        if not recorded:
            log.warning("outcome not recorded, the lease was lost", clouds_uuid=claimed.clouds_uuid)
            await self._came_late(ready, decision)
        elif isinstance(decision, Acknowledged):
            log.info("tickets pushed", clouds_uuid=claimed.clouds_uuid, files=len(claimed.files))
        elif isinstance(decision, RejectFiles):
            for place, message in sorted(decision.messages.items())[:REFUSALS_LOGGED]:
                one = claimed.files[place]
                log.error(
                    "ticket refused by the cloud",
                    clouds_uuid=claimed.clouds_uuid,
                    recording_id=one.recording_id,
                    link_version=one.link_version,
                    attempt=claimed.attempts + 1,
                    message=message,
                )
            log.error("tickets refused by the cloud", clouds_uuid=claimed.clouds_uuid, files=len(decision.messages))
        else:
            log.warning(
                "tickets not pushed",
                clouds_uuid=claimed.clouds_uuid,
                files=len(claimed.files),
                outcome=type(decision).__name__,
                attempt=claimed.attempts + 1,
                next_in_s=decision.wait_s if isinstance(decision, TryLater) else None,
                message=decision.message,
            )

    async def _came_late(self, ready: _Ready, decision: AfterPush) -> None:
        """Somebody else had the folder meanwhile and may have pushed something newer before this took effect."""
        effect = isinstance(decision, Acknowledged) or (isinstance(decision, TryLater) and decision.may_take_effect)
        if ready.with_versions or not effect:
            return
        async with self.database.transaction() as connection:
            await Claims(connection).push_once_more(ready.claimed, after_s=self.settings.second_push_after_s)

    async def _acknowledge(self, pushed: Sequence[_Ready]) -> Sequence[bool]:
        """Record these successes; whether each still had its lease."""
        found: frozenset[str] = frozenset()

        async def write() -> None:
            nonlocal found
            async with self.database.transaction() as connection:
                for one in pushed:
                    if not one.with_versions:
                        await self._end_claim(connection, one.claimed, may_take_effect=False)
                found = await Pushes(connection).acknowledged(
                    [one.claimed for one in pushed], quiet_s=self.settings.push_quiet_s
                )

        await insist(write, until=min(one.leased_until for one in pushed))
        return [one.claimed.clouds_uuid in found for one in pushed]

    async def _store(self, ready: _Ready, decision: NotAcknowledged) -> None:
        """One transaction, in the order of locks: duties, recordings, ledger. Raises LeaseLost."""
        claimed = ready.claimed
        async with self.database.transaction() as connection:
            if not ready.with_versions:
                unknown = isinstance(decision, TryLater) and decision.may_take_effect
                await self._end_claim(connection, claimed, may_take_effect=unknown)
            pushes = Pushes(connection)
            match decision:
                case TryLater(wait_s, _, message):
                    await pushes.failed(claimed, wait_s=wait_s, message=message)
                case RejectFiles(messages):
                    await pushes.reject(claimed, messages)
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

    async def push_again(self) -> float | None:
        """Make owed again what was pushed with an unknown outcome a while ago."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            await Claims(connection).end_claims_of_the_dead(second_push_after_s=self.settings.second_push_after_s)
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            due = await Claims(connection).due_duties(DUTIES_AT_ONCE)
            if due:
                await Resyncs(connection).push_again(due)
        return 0 if due else None
