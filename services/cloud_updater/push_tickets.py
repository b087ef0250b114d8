"""Pushes tickets: one update-ticket request per folder in the cloud for everything that is behind there.

A step claims one folder, sends, and records the outcome; the transaction is over before anything is sent. A claim that
was left behind by a crash, or whose outcome is unknown, may yet take effect in the cloud after something newer: its
recordings are pushed once more after a while, in the state they have then.
"""

import random
from dataclasses import dataclass
from typing import assert_never
from uuid import uuid4

import structlog

from services.cloud_updater.claims import Claimed, Claims
from services.cloud_updater.decisions import (
    Acknowledged,
    AfterPush,
    FolderMissing,
    Narrow,
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
from shared.lane import Lane, LaneShut, LaneState

log = structlog.get_logger()

LINK_VERSION = "link-version"
DUTIES_AT_ONCE = 500


@dataclass(frozen=True)
class _Ready:
    """A request to send, and the lane as it was when it was let through."""

    claimed: Claimed
    lane: LaneState

    @property
    def with_versions(self) -> bool:
        return LINK_VERSION in self.lane.capabilities


@dataclass(frozen=True)
class PushTickets:
    """The steps of the reconcile loops `push_tickets` and `push_again`."""

    settings: CloudUpdaterSettings
    database: Database
    gate: Gate
    cloud: Cloud
    lane: Lane

    async def step(self) -> float | None:
        """Push what one folder owes. Returns 0 if there was a folder, else when to look again."""
        try:
            ready = await self._claim()
        except LaneShut as shut:
            return shut.retry_s
        if not isinstance(ready, _Ready):
            return ready
        claimed = ready.claimed
        outcome = await self.cloud.post(
            "update_ticket",
            folder_path("/recording/update-ticket", claimed.clouds_uuid),
            push_body(claimed.files, with_versions=ready.with_versions),
            repeatable=True,
        )
        decision = decide_after_push(
            outcome,
            files=len(claimed.files),
            attempts=claimed.attempts,
            jitter=random.random(),  # noqa: S311  # nobody is kept out by it
        )
        await self._record(claimed, decision)
        await self.lane.report(outcome, entered=ready.lane)
        return 0

    async def _claim(self) -> _Ready | float | None:
        """What to send; or when to look again, 0 after a folder that owed nothing. Raises LaneShut."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            claims = Claims(connection)
            claimed = await claims.claim(uuid4(), lease_s=self.settings.lease_s)
            if claimed is None:
                return await claims.next_due_s()
            await claims.end_claim(  # of a worker that never came back
                claimed.clouds_uuid,
                None,
                may_take_effect=True,
                second_push_after_s=self.settings.second_push_after_s,
            )
            if not claimed.files:
                await Pushes(connection).acknowledged(claimed, quiet_s=self.settings.push_quiet_s)
                return 0
            ready = _Ready(claimed, await self.lane.enter(connection))
            await claims.note(claimed, guarded=ready.with_versions)
            return ready

    async def _record(self, claimed: Claimed, decision: AfterPush) -> None:
        try:
            await self._store(claimed, decision)
        except LeaseLost:
            log.warning("outcome not recorded, the lease was lost", clouds_uuid=claimed.clouds_uuid)
            return
        if isinstance(decision, Acknowledged):
            log.info("tickets pushed", clouds_uuid=claimed.clouds_uuid, files=len(claimed.files))
        else:
            log.warning(
                "tickets not pushed",
                clouds_uuid=claimed.clouds_uuid,
                files=len(claimed.files),
                outcome=type(decision).__name__,
                attempt=claimed.attempts + 1,
                next_in_s=decision.wait_s if isinstance(decision, TryLater) else None,
                message=getattr(decision, "message", None),
            )

    async def _store(self, claimed: Claimed, decision: AfterPush) -> None:
        """One transaction, in the order of locks: duties, recordings, ledger. Raises LeaseLost."""
        async with self.database.transaction() as connection:
            await Claims(connection).end_claim(
                claimed.clouds_uuid,
                claimed.token,
                may_take_effect=isinstance(decision, TryLater) and decision.may_take_effect,
                second_push_after_s=self.settings.second_push_after_s,
            )
            pushes = Pushes(connection)
            match decision:
                case Acknowledged():
                    await pushes.acknowledged(claimed, quiet_s=self.settings.push_quiet_s)
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

    async def push_again(self) -> float | None:
        """Make owed again what was pushed with an unknown outcome a while ago."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            due = await Claims(connection).due_duties(DUTIES_AT_ONCE)
            if due:
                await Resyncs(connection).push_again(due)
        return 0 if due else None
