"""Uploads recordings: one request per folder at a time, frozen before it is sent.

A step claims a folder and freezes a request, sends it, and records the outcome, each on its own; no transaction is open
while the cloud is asked. A crash before the freeze has done nothing. After it, the request is found open when the lease
has ended, and as nobody knows whether it was sent, it counts as sent: it is repeated byte for byte under its key if the
cloud honours keys, and otherwise held for an operator. The cloud would have the files twice if that were not so.
"""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

from schemas.fields import FolderId
from services.transfer.answers import Sent, Transferred, as_documented, decide_conclusion
from services.transfer.conclusions import Conclusions, Verdict
from services.transfer.freeze_requests import FreezeRequests
from services.transfer.log_uploads import log_upload
from services.transfer.requests import OpenRequest
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
from shared.together import Answers, Together

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


@dataclass(eq=False)
class UploadRecordings:
    """The step of the reconcile loop `upload_recordings`. Its workers claim and record together.

    `send_within_s`: total time limit of one request.
    """

    settings: TransferSettings
    send_within_s: float
    database: Database
    gate: Gate
    cloud: Cloud
    lane: Lane

    def __post_init__(self) -> None:
        self._answers = Answers()
        self._claim_one = Together(self._claim)
        self._record_one = Together(self._record, gather=self._answers.come_up)

    async def step(self) -> float | None:
        """Upload what one folder has ready. Returns 0 if there was a folder, else when to look again."""
        try:
            claimed = await self._claim_one(None)
        except LaneShut as shut:
            return shut.retry_s
        if not isinstance(claimed, Claimed):
            return claimed
        outcome = await self._answer(claimed)
        await self._write_down(claimed, outcome)
        await self._tell_the_lane(claimed, outcome)
        return 0

    async def _claim(self, workers: Sequence[None]) -> Sequence[Claimed | float | None]:
        """For each worker a request, frozen and leased, or seconds until the next look. Raises LaneShut.

        The next look is at once after a folder that was settled without a request.
        """
        leased_until = time.monotonic() + self.settings.lease_s
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            lane = await self.lane.look(connection)
            if lane.shut:
                raise LaneShut(lane.look_again_s)
            uploads = Uploads(connection)
            folders = await uploads.claim(len(workers) if self.lane.unlimited(lane) else 1)
            freezing = FreezeRequests(self.settings, lane.capabilities, connection)
            requests = await freezing.of(folders) if folders else {}
            token = uuid4()
            if requests:
                await self.lane.enter(connection, lane)
                await uploads.lease(list(requests), token, lease_s=self.settings.lease_s)
            rest = await uploads.next_due_s() if len(folders) < len(workers) else 0
        freezing.log()
        if len(folders) == len(workers):
            self.lane.wake()  # there may be a folder for a colleague that sleeps, too
        claimed = [
            Claimed(requests[one.folder_id], one, token, lane=lane, leased_until=leased_until)
            for one in folders
            if one.folder_id in requests
        ]
        settled = [0.0] * (len(folders) - len(claimed))
        return [*claimed, *settled, *[rest] * (len(workers) - len(folders))]

    async def _answer(self, claimed: Claimed) -> Outcome:
        if time.monotonic() + self.send_within_s > claimed.leased_until:
            # This process slept, and before an answer could come somebody else may have the lease: better not to begin.
            return NOT_SENT
        return await self._send(claimed)

    async def _tell_the_lane(self, claimed: Claimed, outcome: Outcome) -> None:
        if outcome != NOT_SENT:
            await self.lane.report(outcome, entered=claimed.lane)

    async def _send(self, claimed: Claimed) -> Outcome:
        """Send it; what comes back only counts as success if it is what the contract says."""
        request = claimed.request
        with self._answers.one_more():
            outcome = await self.cloud.post(
                request.kind,
                folder_path("/recording/inject", request.clouds_uuid) if request.clouds_uuid else "/recording",
                request.body,
                repeatable=False,
                idempotency_key=str(request.id),
            )
        return as_documented(outcome, request.kind)

    async def _write_down(self, claimed: Claimed, outcome: Outcome) -> None:
        """Write down what came of it. An outcome that is not written down is an unknown one."""
        if not await self._record_one((claimed, outcome)):
            await insist(partial(self._try_to_record, [(claimed, outcome)]), until=claimed.leased_until)

    async def _record(self, answered: Sequence[tuple[Claimed, Outcome]]) -> Sequence[bool]:
        """Which of these were written down, all in one transaction: not those whose folder somebody else has locked.

        Whoever waits for such a folder waits alone: the others' leases would end meanwhile.
        """
        until = max(one.leased_until for one, _ in answered)
        written = await insist(partial(self._try_to_record, answered, waits=False), until=until)
        return [one.request.folder_id in written for one, _ in answered]

    async def _try_to_record(
        self, answered: Sequence[tuple[Claimed, Outcome]], *, waits: bool = True
    ) -> frozenset[FolderId]:
        """One transaction. Returns the folders that it had; with `waits` it waits for those that others have locked."""
        async with self.database.transaction() as connection:
            conclusions, now = Conclusions(connection), await Store(connection).now()
            folder_ids = [one.request.folder_id for one, _ in answered]
            if waits:
                await conclusions.lock(folder_ids)
            leases = await conclusions.leases(folder_ids)
            answered = [one for one in answered if one[0].request.folder_id in leases]
            verdicts = [
                Verdict(
                    one.request,
                    decide_conclusion(
                        outcome,
                        _sent(one),
                        resend_unknown=self.settings.cloud_resend_unknown,
                        jitter=random.random(),  # noqa: S311  # spreads retries, guards nothing
                        now=now,
                    ),
                    one.folder.max_files,
                )
                for one, outcome in answered
            ]
            tokens = [one.token for one, _ in answered]
            recorded = await conclusions.may_record(list(zip(verdicts, tokens, strict=True)), leases)
            if recorded:
                await conclusions.record(recorded)
            if any(isinstance(one.conclusion, Transferred) for one in recorded):
                await notify(connection, ("announce_transfers",))
        for (one, _), verdict in zip(answered, verdicts, strict=True):
            log_upload(one.request, one.folder, verdict.conclusion, recorded=verdict in recorded)
        return frozenset(leases)


def _sent(claimed: Claimed) -> Sent:
    request, folder = claimed.request, claimed.folder
    return Sent(
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
