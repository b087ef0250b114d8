"""Uploads recordings: one request per folder at a time, frozen before it is sent.

A step claims a folder and freezes a request, sends it, and records the outcome, each on its own; no transaction is open
while the cloud is asked. A crash before the freeze has done nothing. After it, the request is found open when the lease
has ended, and as nobody knows whether it was sent, it counts as sent: it is repeated byte for byte under its key if the
cloud honours keys, and otherwise held for an operator. The cloud would have the files twice if that were not so.
"""

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import assert_never
from uuid import UUID, uuid4

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import RecordingId
from services.transfer.answers import (
    Conclusion,
    FolderMissing,
    Hold,
    HoldRequest,
    Narrow,
    Release,
    Repeat,
    SendAgain,
    Sent,
    Transferred,
    as_documented,
    decide_conclusion,
    decide_unrecorded_outcome,
)
from services.transfer.conclusions import Conclusions
from services.transfer.lots import Lot, NoLot, decide_lot, decide_next_look
from services.transfer.requests import OpenRequest, Requests
from services.transfer.settings import TransferSettings
from services.transfer.store import Store
from services.transfer.uploads import Folder, Uploads
from shared.cloud import Cloud, folder_path
from shared.database import Database, notify
from shared.gate import Gate
from shared.insist import insist
from shared.lane import Lane
from shared.lane_state import LaneShut, LaneState
from shared.outcome import NothingDone, Outcome

log = structlog.get_logger()

IDEMPOTENCY_KEY = "idempotency-key"
LINK_VERSION = "link-version"
REFUSALS_LOGGED = 20
NOT_RECORDED = "the outcome of the request was not recorded"
# What it is to the folder. The lane does not hear of it: the cloud was not asked.
NOT_SENT = NothingDone("not sent: the lease would have ended before the answer")


@dataclass(frozen=True)
class Claimed:
    """A request to send, and the lease under which that is done. `leased_until` is of the monotonic clock.

    `lane`: as it was when the request was let in; one that was sent before the lane was stopped does not open it.
    """

    request: OpenRequest
    folder: Folder
    token: UUID
    lane: LaneState
    leased_until: float


@dataclass(frozen=True)
class UploadRecordings:
    """The step of the reconcile loop `upload_recordings`. `send_within_s`: total time limit of one request."""

    settings: TransferSettings
    send_within_s: float
    database: Database
    gate: Gate
    cloud: Cloud
    lane: Lane

    async def step(self) -> float | None:
        """Upload what one folder has ready. Returns 0 if there was a folder, else when to look again."""
        try:
            claimed = await self._claim()
        except LaneShut as shut:
            return shut.retry_s
        if not isinstance(claimed, Claimed):
            return claimed
        if time.monotonic() + self.send_within_s > claimed.leased_until:
            # This process slept, and before an answer could come somebody else may have the lease: better not to begin.
            await self._record(claimed, NOT_SENT)
            return 0
        outcome = await self._send(claimed)
        await self._record(claimed, outcome)
        await self.lane.report(outcome, entered=claimed.lane)
        return 0

    async def _claim(self) -> Claimed | float | None:
        """A request, frozen and leased; or seconds until the next look, 0 if a folder was settled without a request."""
        begun_at = time.monotonic()
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            lane = await self.lane.look(connection)
            if lane.shut:
                raise LaneShut(lane.look_again_s)
            uploads = Uploads(connection)
            folder = await uploads.claim()
            if folder is None:
                return await uploads.next_due_s()

            found = await Requests(connection).of(folder.folder_id)
            if found:
                request = await self._take_up(connection, folder, found, lane)
            else:
                request = await self._freeze(connection, folder, lane)
            if request is None:
                return 0

            await self.lane.enter(connection, lane)
            token = uuid4()
            await uploads.lease(folder.folder_id, token, lease_s=self.settings.lease_s)
        return Claimed(request, folder, token, lane=lane, leased_until=begun_at + self.settings.lease_s)

    async def _take_up(
        self, connection: AsyncConnection, folder: Folder, found: OpenRequest, lane: LaneState
    ) -> OpenRequest | None:
        """An open request that nobody holds a lease on: it was sent, as far as anybody can know."""
        decision = decide_unrecorded_outcome(
            keys_honoured=found.keys_honoured and IDEMPOTENCY_KEY in lane.capabilities,
            first_sent_at=found.first_sent_at,
            resend_unknown=self.settings.cloud_resend_unknown,
            now=folder.now,
        )
        match decision:
            case SendAgain():
                await Requests(connection).send_again(found)
                return found
            case Hold():
                conclusion = HoldRequest(folder.last_error or NOT_RECORDED, decision)
                await Conclusions(connection).record(found, conclusion, max_files=folder.max_files)
                _log(found, folder, conclusion, recorded=True)
                return None
            case never:
                assert_never(never)

    async def _freeze(self, connection: AsyncConnection, folder: Folder, lane: LaneState) -> OpenRequest | None:
        """What is ready, as a request; if nothing is, the folder waits."""
        uploads = Uploads(connection)
        waits = self.settings.waits
        ready = await uploads.ready(folder, grace=waits.grace)
        taken = await uploads.taken_names(folder.folder_id, {one.filename for one in ready})

        decision = decide_lot(
            ready,
            taken=taken,
            clouds_uuid=folder.clouds_uuid,
            link_versions=LINK_VERSION in lane.capabilities,
            max_files=folder.max_files,
        )

        if decision.rejected:
            await uploads.reject(decision.rejected)
            _log_each(decision.rejected, "recording refused", folder_id=folder.folder_id)
        match decision:
            case Lot():
                honoured = IDEMPOTENCY_KEY in lane.capabilities
                return await Requests(connection).freeze(folder, decision, request_id=uuid4(), keys_honoured=honoured)
            case NoLot():
                rest = await uploads.rest(folder.folder_id)
                due_at = decide_next_look(rest, more=bool(decision.rejected), waits=waits, now=folder.now)
                await uploads.look_again(folder, due_at)
                return None
            case never:
                assert_never(never)

    async def _send(self, claimed: Claimed) -> Outcome:
        """Send it; what comes back only counts as success if it is what the contract says."""
        request = claimed.request
        outcome = await self.cloud.post(
            request.kind,
            folder_path("/recording/inject", request.clouds_uuid) if request.clouds_uuid else "/recording",
            request.body,
            repeatable=False,
            idempotency_key=str(request.id),
        )
        return as_documented(outcome, request.kind)

    async def _record(self, claimed: Claimed, outcome: Outcome) -> None:
        """Write down what came of it. An outcome that is not written down is an unknown one."""
        await insist(partial(self._try_to_record, claimed, outcome), until=claimed.leased_until)

    async def _try_to_record(self, claimed: Claimed, outcome: Outcome) -> None:
        request, folder = claimed.request, claimed.folder
        async with self.database.transaction() as connection:
            conclusions = Conclusions(connection)
            sent = Sent(
                kind=request.kind,
                clouds_uuid=request.clouds_uuid,
                recording_ids=tuple(one.recording_id for one in request.files),
                keys_honoured=request.keys_honoured,
                first_sent_at=request.first_sent_at,
                repeated=request.repeated,
                failures=folder.failures,
                max_files=folder.max_files,
                probe=claimed.lane.probing,
            )
            conclusion = decide_conclusion(
                outcome,
                sent,
                resend_unknown=self.settings.cloud_resend_unknown,
                jitter=random.random(),  # noqa: S311  # spreads retries, guards nothing
                now=await Store(connection).now(),
            )
            recorded = await conclusions.may_record(request, claimed.token, conclusion)
            if recorded:
                await conclusions.record(request, conclusion, max_files=folder.max_files)
                await notify(connection, ("announce_transfers",) if isinstance(conclusion, Transferred) else ())
        _log(request, folder, conclusion, recorded=recorded)


def _log(request: OpenRequest, folder: Folder, conclusion: Conclusion, *, recorded: bool) -> None:
    said = {
        "folder_id": request.folder_id,
        "request_id": str(request.id),
        "kind": request.kind,
        "files": len(request.files),
        "outcome": type(conclusion).__name__,
        "attempt": folder.failures + 1,
    }
    if not recorded:
        log.warning("outcome not recorded, the lease was lost", **said)
        return
    match conclusion:
        case Transferred():
            log.info("recordings uploaded", **said)
        case Release(message) | Repeat(message):
            log.warning("recordings not uploaded", **said, message=message, wait_s=round(conclusion.wait_s, 1))
        case Narrow(_, rejected) if rejected:
            _log_each(rejected, "recording refused by the cloud", **said)
            log.error("recordings refused by the cloud", **said, refused=len(rejected))
        case Narrow(message):
            log.warning("recordings not uploaded", **said, message=message)
        case HoldRequest():
            log.error("an operator has to look at this folder", **said, message=conclusion.in_words)
        case FolderMissing(message):
            log.error("an operator has to look at this folder", **said, message=message)
        case never:
            assert_never(never)


def _log_each(refused: Mapping[RecordingId, str], event: str, **said: object) -> None:
    """A line for each of the first, with its own reason: they need a person."""
    for recording_id, reason in sorted(refused.items())[:REFUSALS_LOGGED]:
        log.error(event, **said, recording_id=recording_id, message=reason)
