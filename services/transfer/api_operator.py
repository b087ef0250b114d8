"""transfer's HTTP API, the part that decides: what an operator says about a folder that nobody else can judge.

Each route names what it is about so exactly that a repeat, or a mistyped folder, changes nothing: an answer is for the
open request (the one of `request_id`, if that is said), and a folder is uploaded again only if the uuid that is called
lost is its present one. What is uploaded again must be known, or recordings would stay behind in the lost folder:
`known` is the gate on the topics that tell.
"""

from typing import Any, assert_never
from uuid import UUID

import structlog
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import ACloudsUuid, ARecordingId, CloudsUuid, FolderId
from services.transfer.adoptions import Adoptions
from services.transfer.conclusions import Conclusions, Verdict
from services.transfer.lost_folders import Busy, Elsewhere, LostFolders, Unprocessed
from services.transfer.lots import MAX_FILES
from services.transfer.operators_word import Answer, Unfit, decide_answer
from services.transfer.requests import OpenRequest
from services.transfer.retries import Retries
from shared import audit
from shared.database import notify
from shared.gate import Gate
from shared.requested_by import RequestedBy
from shared.service import Service
from shared.web import Problem, ProblemDetails

log = structlog.get_logger()

RETRIED_MAX = 1_000
REFUSED: dict[int | str, dict[str, Any]] = {
    404: {"model": ProblemDetails, "description": "Unknown"},
    409: {"model": ProblemDetails, "description": "The folder is not in a state for this"},
}


class OperatorsAnswer(BaseModel):
    """What an operator has found in the cloud about a request of unknown outcome."""

    answer: Answer
    request_id: UUID | None = Field(
        None, description="the open_request that this is about; another one is then left as it is"
    )
    clouds_uuid: ACloudsUuid | None = Field(None, description="with exists_as: the folder that the cloud has made")


class Concluded(BaseModel):
    """What followed: Transferred, Release or Narrow."""

    outcome: str
    files: int


class LostFolder(BaseModel):
    """Which folder the cloud has lost."""

    clouds_uuid: ACloudsUuid = Field(description="the folder's present uuid, as GET /folders/{folder_id} shows it")


class UploadedAgain(BaseModel):
    """How many recordings will be uploaded again."""

    recordings: int


class RejectedBody(BaseModel):
    """Recordings that were rejected and are to be tried again."""

    model_config = ConfigDict(extra="forbid")

    recording_ids: list[ARecordingId] = Field(min_length=1, max_length=RETRIED_MAX)


class RetriedAnswer(BaseModel):
    """Those that were rejected, and wait for their upload again."""

    retried: list[str]


class GivenUp(BaseModel):
    """How many recordings waited in the folder, and are rejected as given up."""

    recordings: int


def decided(service: Service, known: Gate) -> APIRouter:
    """The routes by which an operator decides."""
    router = APIRouter()

    @router.post("/folders/{folder_id:anything}/answer", responses=REFUSED)
    async def answer_folder(folder_id: FolderId, said: OperatorsAnswer, who: RequestedBy = None) -> Concluded:
        """Say what became of the folder's request of unknown outcome, so that it goes on."""
        async with service.database.transaction() as connection:
            await service.gate.pass_through(connection)
            request = await _asked_about(connection, folder_id, said)
            conclusion = decide_answer(
                said.answer,
                sent_to=request.clouds_uuid,
                exists_as=said.clouds_uuid,
                recording_ids=tuple(one.recording_id for one in request.files),
            )
            if isinstance(conclusion, Unfit):
                raise Problem(422, "Invalid answer", conclusion.why)
            await Conclusions(connection).record([Verdict(request, conclusion, MAX_FILES)])
            detail = {
                "answer": said.answer,
                "clouds_uuid": said.clouds_uuid,
                "request_id": str(request.id),
                "files": len(request.files),
            }
            await audit.record(connection, who=who, what="folder_answered", subject=folder_id, detail=detail)
            await notify(connection, ("upload_recordings", "announce_transfers"))
        log.info("operator answered", folder_id=folder_id, request_id=str(request.id), answer=said.answer)
        return Concluded(outcome=type(conclusion).__name__, files=len(request.files))

    @router.post("/folders/{folder_id:anything}/upload-again", responses=REFUSED)
    async def upload_again(folder_id: FolderId, lost: LostFolder, who: RequestedBy = None) -> UploadedAgain:
        """The cloud has lost this folder: make it anew with every recording that was in it. Harmless if repeated."""
        async with service.database.transaction() as connection:
            await service.gate.pass_through(connection)
            await known.pass_through(connection)
            recordings = await LostFolders(connection).upload_again(folder_id, lost=lost.clouds_uuid)
            if not isinstance(recordings, int):
                raise _refusal(recordings, lost.clouds_uuid)
            detail = {"lost": lost.clouds_uuid, "recordings": recordings}
            await audit.record(connection, who=who, what="folder_uploaded_again", subject=folder_id, detail=detail)
            await notify(connection, ("upload_recordings",))
        log.info("folder will be uploaded again", folder_id=folder_id, lost=lost.clouds_uuid, recordings=recordings)
        return UploadedAgain(recordings=recordings)

    @router.post("/folders/{folder_id:anything}/give-up", responses=REFUSED)
    async def give_up(folder_id: FolderId, lost: LostFolder, who: RequestedBy = None) -> GivenUp:
        """The cloud has lost this folder and what waits in it is not to be uploaded; later recordings are tried."""
        async with service.database.transaction() as connection:
            await service.gate.pass_through(connection)
            recordings = await Retries(connection).give_up(folder_id, lost=lost.clouds_uuid)
            if recordings is None:
                detail = "Nothing waits in it because the cloud has lost the folder of this uuid"
                raise Problem(409, "Nothing to give up", detail)
            detail_of = {"lost": lost.clouds_uuid, "recordings": recordings}
            await audit.record(connection, who=who, what="folder_given_up", subject=folder_id, detail=detail_of)
        log.info("folder given up", folder_id=folder_id, lost=lost.clouds_uuid, recordings=recordings)
        return GivenUp(recordings=recordings)

    @router.post("/rejected/retry")
    async def retry_recordings(body: RejectedBody, who: RequestedBy = None) -> RetriedAnswer:
        """Try recordings again that the cloud, or a rule, has rejected; what is not rejected is left alone."""
        async with service.database.transaction() as connection:
            await service.gate.pass_through(connection)
            retried = await Retries(connection).retry(body.recording_ids)
            if retried:
                detail = {"recording_ids": retried}
                await audit.record(
                    connection, who=who, what="recordings_retried", subject="rejected recordings", detail=detail
                )
            await notify(connection, ("upload_recordings",))
        log.info("rejected recordings are tried again", recordings=len(retried))
        return RetriedAnswer(retried=list(retried))

    return router


async def _asked_about(connection: AsyncConnection, folder_id: FolderId, said: OperatorsAnswer) -> OpenRequest:
    """Lock the folder. Its request of unknown outcome, if what was said may be so."""
    named = said.clouds_uuid if said.answer == "exists_as" else None
    owner = await Adoptions(connection).owner_of(named) if named else None
    request = await Conclusions(connection).held_request(folder_id)
    if request is None:
        raise Problem(409, "Nothing to answer", "This folder has no request of unknown outcome")
    if said.request_id not in {None, request.id}:
        detail = (
            f"The request of unknown outcome is {request.id} now, not {said.request_id}: look what became of that one"
        )
        raise Problem(409, "Another request", detail, request_id=str(request.id))
    if owner not in {None, folder_id}:
        detail = f"{named} is folder {owner} in the cloud: name what the upload of this folder has made"
        raise Problem(409, "Another folder", detail, folder_id=owner)
    return request


def _refusal(why: Elsewhere | Busy | Unprocessed, lost: CloudsUuid) -> Problem:
    """What an operator reads who may have taken the wrong folder, or asked twice."""
    match why:
        case Elsewhere(None):
            detail = f"It is not in the cloud, as {lost} or otherwise. What waits in it is uploaded by itself"
            return Problem(409, "Not in the cloud", detail, clouds_uuid=None)
        case Elsewhere(present):
            detail = f"It is in the cloud as {present}, not as {lost}. If the cloud has lost that one, name it"
            return Problem(409, "Not the present folder", detail, clouds_uuid=present)
        case Busy():
            detail = "A request of this folder is open: ask again when its outcome is known, or answer it if it is held"
            return Problem(409, "Not now", detail)
        case Unprocessed():
            detail = (
                f"{why.recordings} recordings of it (such as {why.first}) were adopted and have no RecordingProcessed, "
                "so what to upload is not known: publish that of each, then ask again"
            )
            return Problem(409, "Not processed", detail, recordings=why.recordings, recording_id=why.first)
        case never:
            assert_never(never)
