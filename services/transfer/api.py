"""transfer's HTTP API: what keeps recordings from the cloud. What an operator decides about it: see `api_operator`."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict

from services.transfer import api_adopt, seen
from services.transfer.api_operator import decided
from shared import dead_letters
from shared.cursors import Cursor, cursor_of, place_of
from shared.gate import Gate
from shared.lane import Lane
from shared.lane_state import LaneState
from shared.routes import LaneAnswer, lane_answer, lane_routes
from shared.service import Service
from shared.web import PROBLEMS, Problem, ProblemDetails

UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ProblemDetails, "description": "Unknown"}}


Reason = Literal["retrying", "rejected", "outcome_unknown", "missing_in_cloud"]


class BlockedCounts(BaseModel):
    """Recordings by what keeps them from their upload."""

    retrying: int
    rejected: int
    outcome_unknown: int
    missing_in_cloud: int


class StatusAnswer(BaseModel):
    """What is blocked, and whether requests may be sent. `working`: uploads and announcements that are still to come
    by themselves; also what is retrying, but nothing that waits for a person.
    """

    blocked: BlockedCounts
    working: int
    dead_letters: int
    lane: LaneAnswer


class Blocked(BaseModel):
    """Why a recording is not in the cloud. `next_try_at` is null if it will not be tried as things are."""

    reason: str
    message: str | None
    next_try_at: datetime | None


class BlockedRecording(Blocked):
    """A recording that is blocked."""

    recording_id: str
    folder_id: str


class BlockedRecordingsAnswer(BaseModel):
    """A page of them; it is the last without a cursor."""

    items: list[BlockedRecording]
    next_cursor: str | None


class RecordingAnswer(BaseModel):
    """One recording. `sent_link_version` is the link that went with its upload, `link_version` the newest one known.

    `superseded_after_upload`: a newer RecordingProcessed came too late; the cloud keeps what it has.
    """

    recording_id: str
    folder_id: str
    filename: str
    revision: int | None
    phase: str
    superseded_after_upload: bool
    clouds_uuid: str | None
    transfer_version: int
    sent_link_version: int
    link_version: int
    blocked: Blocked | None


class RequestAnswer(BaseModel):
    """A request of which the outcome is open; its id is its Idempotency-Key."""

    model_config = ConfigDict(from_attributes=True)

    request_id: UUID
    kind: str
    frozen_at: datetime
    attempts: int
    keys_honoured: bool
    files: int


class FolderAnswer(BaseModel):
    """One folder. `held`, unless null: why it waits for an operator. `unprocessed`: recordings that were adopted into
    it and have no RecordingProcessed, without which it cannot be uploaded again.
    """

    model_config = ConfigDict(from_attributes=True)

    folder_id: str
    clouds_uuid: str | None
    held: str | None
    attempts: int
    last_error: str | None
    next_try_at: datetime | None
    waiting: int
    rejected: int
    unprocessed: int
    open_request: RequestAnswer | None


class FoldersAnswer(BaseModel):
    """Some folders."""

    items: list[FolderAnswer]


def routes(service: Service, lane: Lane, known: Gate) -> APIRouter:
    """This service's own routes. `known`: see `api_operator`."""
    router = APIRouter(tags=["transfer"], responses=PROBLEMS)
    router.include_router(_seen(service, lane))
    router.include_router(decided(service, known))
    router.include_router(lane_routes(service, lane, loop="upload_recordings"))
    router.include_router(api_adopt.routes(service))
    return router


def _seen(service: Service, lane: Lane) -> APIRouter:
    router = APIRouter()

    @router.get("/status")
    async def read_status(folder: str | None = None) -> StatusAnswer:
        """What is blocked, in all or in the folder of this folder_id."""
        async with service.database.transaction() as connection:
            state = await lane.look(connection)
            counts = await seen.blocked(connection, folder_id=folder, shut=state.reason is not None)
            return StatusAnswer(
                blocked=BlockedCounts(**counts),
                working=await seen.working(connection, folder_id=folder),
                dead_letters=await dead_letters.count(connection),
                lane=lane_answer(state),
            )

    @router.get("/blocked")
    async def read_blocked(
        folder: str | None = None,
        reason: Reason | None = None,
        limit: Annotated[int, Query(ge=1, le=10_000)] = 100,
        cursor: Annotated[Cursor, Query()] = "",
    ) -> BlockedRecordingsAnswer:
        """What is blocked, in all or in the folder of this folder_id, a page at a time; what needs a person first."""
        place = place_of(cursor, "blocked", parts=2) or ["", ""]
        wanted = seen.WantedBlocked(folder, reason, after=(place[0] == "retrying", place[1]), limit=limit)
        async with service.database.transaction() as connection:
            state = await lane.look(connection)
            found = await seen.blocked_recordings(connection, wanted, shut=state.reason is not None)
        return BlockedRecordingsAnswer(
            items=[
                BlockedRecording(
                    recording_id=one.recording_id, folder_id=one.folder_id, **_why(one, state).model_dump()
                )
                for one in found
            ],
            next_cursor=cursor_of("blocked", [found[-1].reason, found[-1].recording_id])
            if len(found) == limit
            else None,
        )

    @router.get("/recordings/{recording_id:anything}", responses=UNKNOWN)
    async def read_recording(recording_id: str) -> RecordingAnswer:
        """One recording as this service knows it."""
        async with service.database.transaction() as connection:
            state = await lane.look(connection)
            one = await seen.recording(connection, recording_id, shut=state.reason is not None)
        if one is None:
            raise Problem(404, "Unknown recording", "Neither processed nor transferred, as far as transfer has read")
        return RecordingAnswer(
            recording_id=one.recording_id,
            folder_id=one.folder_id,
            filename=one.filename,
            revision=one.revision,
            phase=one.phase,
            superseded_after_upload=one.superseded_after_upload,
            clouds_uuid=one.clouds_uuid,
            transfer_version=one.transfer_version,
            sent_link_version=one.sent_link_version,
            link_version=one.link_version,
            blocked=_why(one, state) if one.reason else None,
        )

    @router.get("/folders")
    async def read_folders(
        *, held: bool = False, after: str = "", limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> FoldersAnswer:
        """Folders after the one of that id; with held=true, only those that wait for an operator."""
        async with service.database.transaction() as connection:
            found = await seen.folders(connection, held=held, after=after, limit=limit)
        return FoldersAnswer(items=[FolderAnswer.model_validate(one) for one in found])

    @router.get("/folders/{folder_id:anything}", responses=UNKNOWN)
    async def read_folder(folder_id: str) -> FolderAnswer:
        """One folder and its open request."""
        async with service.database.transaction() as connection:
            found = await seen.folders(connection, folder_id=folder_id)
        if not found:
            raise Problem(404, "Unknown folder", "No recording of this folder_id, as far as transfer has read")
        return FolderAnswer.model_validate(found[0])

    return router


def _why(one: seen.BlockedSeen | seen.RecordingSeen, state: LaneState) -> Blocked:
    """What the folder met before does not matter as long as nothing is sent at all."""
    if one.reason == "retrying" and state.reason is not None:
        return Blocked(reason=one.reason, message=f"{state.reason}: {state.message}", next_try_at=state.probe_at)
    return Blocked(reason=one.reason or "", message=one.message, next_try_at=one.next_try_at)
