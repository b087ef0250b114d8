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
from services.cloud_updater.pushes import Claimed, Pushes
from services.cloud_updater.resyncs import Resyncs
from services.cloud_updater.settings import CloudUpdaterSettings
from shared.cloud import Cloud, folder_path
from shared.database import Database
from shared.gate import Gate
from shared.lane import Lane, LaneShut

log = structlog.get_logger()

LINK_VERSION = "link-version"
DUTIES_AT_ONCE = 500


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
            claimed, with_versions, wait_s = await self._claim()
        except LaneShut as shut:
            return shut.retry_s
        if claimed is None:
            return wait_s
        if not claimed.files:
            return 0
        outcome = await self.cloud.post(
            "update_ticket",
            folder_path("/recording/update-ticket", claimed.clouds_uuid),
            push_body(claimed.files, with_versions=with_versions),
            repeatable=True,
        )
        decision = decide_after_push(
            outcome,
            files=len(claimed.files),
            attempts=claimed.attempts,
            jitter=random.random(),  # noqa: S311
        )
        await self._record(claimed, decision)
        await self.lane.report(outcome)
        return 0

    async def _claim(self) -> tuple[Claimed | None, bool, float | None]:
        """What to push, whether with versions; or when the next folder is due."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            pushes = Pushes(connection)
            claimed = await pushes.claim(uuid4(), lease_s=self.settings.lease_s)
            if claimed is None:
                return None, False, await pushes.next_due_s()
            await pushes.end_claim(  # of a worker that never came back
                claimed.clouds_uuid, may_take_effect=True, second_push_after_s=self.settings.second_push_after_s
            )
            if not claimed.files:
                await pushes.acknowledged(claimed, quiet_s=self.settings.push_quiet_s)
                return claimed, False, None
            lane = await self.lane.enter(connection)
            with_versions = LINK_VERSION in lane.capabilities
            await pushes.note(claimed, guarded=with_versions)
            return claimed, with_versions, None

    async def _record(self, claimed: Claimed, decision: AfterPush) -> None:
        async with self.database.transaction() as connection:
            pushes = Pushes(connection)
            match decision:
                case Acknowledged():
                    held = await pushes.acknowledged(claimed, quiet_s=self.settings.push_quiet_s)
                case TryLater(wait_s, _, message):
                    held = await pushes.failed(claimed, wait_s=wait_s, message=message)
                case RejectFiles(messages):
                    await pushes.reject(claimed, messages)
                    held = await pushes.failed(claimed, wait_s=0, message="")
                case Narrow(limit, message):
                    held = await pushes.failed(claimed, wait_s=0, message=message, batch_limit=limit)
                case FolderMissing(message):
                    held = await pushes.failed(claimed, wait_s=0, message=message, missing=True)
                case _:
                    assert_never(decision)
            if held:
                unsure = isinstance(decision, TryLater) and decision.may_take_effect
                await pushes.end_claim(
                    claimed.clouds_uuid, may_take_effect=unsure, second_push_after_s=self.settings.second_push_after_s
                )
        if isinstance(decision, Acknowledged):
            log.info("tickets pushed", clouds_uuid=claimed.clouds_uuid, files=len(claimed.files), recorded=held)
        else:
            log.warning(
                "tickets not pushed",
                clouds_uuid=claimed.clouds_uuid,
                files=len(claimed.files),
                outcome=type(decision).__name__,
                message=getattr(decision, "message", None),
                attempt=claimed.attempts + 1,
                recorded=held,
            )

    async def push_again(self) -> float | None:
        """Make owed again what was pushed with an unknown outcome a while ago."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            due = await Pushes(connection).due_duties(DUTIES_AT_ONCE)
            if due:
                await Resyncs(connection).push_recordings(due, force=True)
        return 0 if due else None
