"""Freezes what is ready in claimed folders: each gets its next request, written down before anybody sends it.

All of it is one transaction, that of the claim. A folder that has an open request already gets no other: nobody knows
whether that was sent, so it is taken up again as it is, or held for an operator. A folder from which nothing can go now
is told when to be looked at again.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never
from uuid import uuid4

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import FolderId
from services.transfer.answers import Hold, HoldRequest, SendAgain, decide_unrecorded_outcome
from services.transfer.conclusions import Conclusions, Verdict
from services.transfer.log_uploads import log_refused, log_upload
from services.transfer.lots import Lot, NoLot, decide_lot, decide_next_look
from services.transfer.requests import OpenRequest, Requests
from services.transfer.settings import TransferSettings
from services.transfer.uploads import Folder, Uploads

IDEMPOTENCY_KEY = "idempotency-key"
LINK_VERSION = "link-version"
NOT_RECORDED = "the outcome of the request was not recorded"


@dataclass(frozen=True)
class FreezeRequests:
    """`capabilities`: what the cloud says it can do."""

    settings: TransferSettings
    capabilities: frozenset[str]
    connection: AsyncConnection
    _log_lines: list[Callable[[], None]] = field(default_factory=list)

    def log(self) -> None:
        """Say what was refused and what waits for a person; for after the commit."""
        for say in self._log_lines:
            say()

    async def of(self, folders: Sequence[Folder]) -> dict[FolderId, OpenRequest]:
        """What to send, of those of the claimed folders that have something to send."""
        resumed = [one.folder_id for one in folders if one.has_request]
        found = await Requests(self.connection).of(resumed) if resumed else {}
        frozen = await self.freeze([one for one in folders if one.folder_id not in found])
        requests = {one.folder_id: one for one in frozen}
        for one in folders:
            if (open_one := found.get(one.folder_id)) and (again := await self.take_up(one, open_one)):
                requests[one.folder_id] = again
        return requests

    async def take_up(self, folder: Folder, found: OpenRequest) -> OpenRequest | None:
        """An open request without a lease, if it is sent again: it was sent, as far as anybody can know."""
        decision = decide_unrecorded_outcome(
            keys_honoured=found.keys_honoured and IDEMPOTENCY_KEY in self.capabilities,
            first_sent_at=found.first_sent_at,
            resend_unknown=self.settings.cloud_resend_unknown,
            now=folder.now,
        )
        match decision:
            case SendAgain():
                await Requests(self.connection).send_again(found)
                return found
            case Hold():
                conclusion = HoldRequest(folder.last_error or NOT_RECORDED, decision)
                await Conclusions(self.connection).record([Verdict(found, conclusion, folder.max_files)])
                self._log_lines.append(partial(log_upload, found, folder, conclusion, recorded=True))
                return None
            case never:
                assert_never(never)

    async def freeze(self, folders: Sequence[Folder]) -> list[OpenRequest]:
        """What is ready in them, as requests; where nothing is, the folder waits."""
        uploads = Uploads(self.connection)
        ready = await uploads.ready(folders, grace=self.settings.waits.grace) if folders else {}
        names = {
            (one.folder_id, file.filename) for one in folders if one.in_cloud for file in ready.get(one.folder_id, ())
        }
        taken = await uploads.taken_names(names) if names else {}

        decided = {
            one: decide_lot(
                ready.get(one.folder_id, ()),
                taken=taken.get(one.folder_id, {}),
                clouds_uuid=one.clouds_uuid,
                link_versions=LINK_VERSION in self.capabilities,
                max_files=one.max_files,
            )
            for one in folders
        }

        for folder, decision in decided.items():
            if decision.rejected:
                await uploads.reject(decision.rejected)
                self._log_lines.append(partial(log_refused, decision.rejected, folder.folder_id))
        await self._put_off(decided)
        honoured = IDEMPOTENCY_KEY in self.capabilities
        requests = [
            OpenRequest.of(folder, decision, request_id=uuid4(), keys_honoured=honoured)
            for folder, decision in decided.items()
            if isinstance(decision, Lot)
        ]
        if requests:
            await Requests(self.connection).freeze(requests)
        return requests

    async def _put_off(self, decided: dict[Folder, Lot | NoLot]) -> None:
        empty = {folder: decision for folder, decision in decided.items() if isinstance(decision, NoLot)}
        if not empty:
            return
        uploads = Uploads(self.connection)
        rest = await uploads.rest([one.folder_id for one in empty])
        waits = self.settings.waits
        await uploads.look_again(
            {
                one.folder_id: decide_next_look(
                    rest[one.folder_id], more=bool(decision.rejected), waits=waits, now=one.now
                )
                for one, decision in empty.items()
            }
        )
