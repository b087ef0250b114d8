"""transfer's HTTP API, the part for moving over: recordings that the cloud had before this system become transferred.

They are announced with link_version 0, like an upload that carried no ticket, so a ticket that is linked then is pushed
once. Said twice it is done once; what contradicts what is known is a conflict of that recording alone.
"""

from collections import Counter
from typing import Literal, assert_never

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.adopted import ADOPTED_MAX, Adopted
from services.transfer.adopting import Adopt, Adoption, Already, Conflict
from services.transfer.adoptions import Adoptions
from shared import audit
from shared.database import notify
from shared.requested_by import RequestedBy
from shared.service import Service

log = structlog.get_logger()


class AdoptBody(BaseModel):
    """With `dry_run` it is only said what would become of them."""

    model_config = ConfigDict(extra="forbid")

    recordings: list[Adopted] = Field(min_length=1, max_length=ADOPTED_MAX)
    dry_run: bool = False


class AdoptedAnswer(BaseModel):
    """What became of one: `adopted`, `already` there, or `conflict` with the reason and a message.

    `filename`: under which it is in the cloud, also if that was left out; null for a conflict.
    """

    recording_id: str
    outcome: Literal["adopted", "already", "conflict"]
    filename: str | None = None
    reason: str | None = None
    message: str | None = None


class AdoptedsAnswer(BaseModel):
    """In the order of the recordings."""

    items: list[AdoptedAnswer]


def routes(service: Service) -> APIRouter:
    """To be included in transfer's router."""
    router = APIRouter()

    @router.post("/adoptions")
    async def adopt_recordings(body: AdoptBody, who: RequestedBy = None) -> AdoptedsAnswer:
        """Take over recordings that the cloud has already, without an upload. Harmless if repeated."""
        async with service.database.transaction(keep=not body.dry_run) as connection:
            await service.gate.pass_through(connection)
            done = await Adoptions(connection).adopt(body.recordings)
            await _record(connection, done, who=who)
            await notify(connection, ("announce_transfers",))
        if not body.dry_run:
            log.info("recordings adopted", **Counter(type(one).__name__.lower() for one in done))
        return AdoptedsAnswer(
            items=[_answer(said.recording_id, one) for said, one in zip(body.recordings, done, strict=True)]
        )

    return router


async def _record(connection: AsyncConnection, done: list[Adoption], *, who: str | None) -> None:
    counts = Counter((one.said.folder_id, one.said.clouds_uuid) for one in done if isinstance(one, Adopt))
    for (folder_id, clouds_uuid), recordings in sorted(counts.items()):
        detail = {"clouds_uuid": clouds_uuid, "recordings": recordings}
        await audit.record(connection, who=who, what="recordings_adopted", subject=folder_id, detail=detail)


def _answer(recording_id: str, done: Adoption) -> AdoptedAnswer:
    match done:
        case Adopt():
            return AdoptedAnswer(recording_id=recording_id, outcome="adopted", filename=done.file.filename)
        case Already(filename):
            return AdoptedAnswer(recording_id=recording_id, outcome="already", filename=filename)
        case Conflict(why, message):
            return AdoptedAnswer(recording_id=recording_id, outcome="conflict", reason=why, message=message)
        case never:
            assert_never(never)
