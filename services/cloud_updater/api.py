"""cloud_updater's HTTP API: what is owed to the cloud and what keeps it from there."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel

from services.cloud_updater import seen
from shared import dead_letters
from shared.lane import Lane, LaneState
from shared.routes import LaneAnswer, lane_answer, lane_routes
from shared.service import Service
from shared.web import PROBLEMS, Problem, ProblemDetails


class BlockedCounts(BaseModel):
    """Recordings by what keeps their newest link from the cloud."""

    retrying: int
    rejected: int
    outcome_unknown: int
    missing_in_cloud: int


class StatusAnswer(BaseModel):
    """What is still to be pushed, what is blocked, and whether requests may be sent."""

    blocked: BlockedCounts
    owed: int
    dead_letters: int
    lane: LaneAnswer


class Blocked(BaseModel):
    """Why a recording's newest link is not in the cloud."""

    reason: str
    message: str | None
    next_try_at: datetime | None


class BlockedRecording(Blocked):
    """A recording that is blocked."""

    recording_id: str
    folder_id: str | None


class BlockedRecordingsAnswer(BaseModel):
    """Some of them."""

    items: list[BlockedRecording]


class RecordingAnswer(BaseModel):
    """One recording: the link that is wanted, the one that is known to be in the cloud."""

    recording_id: str
    folder_id: str | None
    clouds_uuid: str | None
    transfer_version: int
    link_version: int
    acknowledged_transfer_version: int
    acknowledged_link_version: int
    owed: bool
    blocked: Blocked | None


def routes(service: Service, lane: Lane) -> APIRouter:
    """This service's own routes."""
    router = APIRouter(tags=["cloud_updater"], responses=PROBLEMS)
    router.include_router(lane_routes(service, lane, loop="push_tickets"))

    @router.get("/status")
    async def read_status(folder: str | None = None) -> StatusAnswer:
        """What is owed and blocked, in all or in the folder of this folder_id."""
        async with service.database.transaction() as connection:
            state = await lane.look(connection)
            return StatusAnswer(
                blocked=BlockedCounts(
                    **await seen.blocked(connection, folder_id=folder, shut=state.reason is not None)
                ),
                owed=await seen.owed(connection, folder_id=folder),
                dead_letters=await dead_letters.count(connection),
                lane=lane_answer(state),
            )

    @router.get("/blocked")
    async def read_blocked(
        folder: str | None = None, limit: Annotated[int, Query(ge=1, le=1000)] = 100
    ) -> BlockedRecordingsAnswer:
        """The first that are blocked, in all or in the folder of this folder_id; those that need a person first."""
        async with service.database.transaction() as connection:
            state = await lane.look(connection)
            found = await seen.blocked_recordings(
                connection, folder_id=folder, shut=state.reason is not None, limit=limit
            )
        return BlockedRecordingsAnswer(
            items=[
                BlockedRecording(
                    recording_id=one.recording_id, folder_id=one.folder_id, **_why(one, state).model_dump()
                )
                for one in found
            ]
        )

    @router.get("/recordings/{recording_id:path}", responses={404: {"model": ProblemDetails, "description": "Unknown"}})
    async def read_recording(recording_id: str) -> RecordingAnswer:
        """One recording as this service knows it."""
        async with service.database.transaction() as connection:
            state = await lane.look(connection)
            row = await seen.recording(connection, recording_id, shut=state.reason is not None)
        if row is None:
            raise Problem(404, "Unknown recording", "Neither transferred nor linked, as far as cloud_updater has read")
        return RecordingAnswer(
            recording_id=row.recording_id,
            folder_id=row.folder_id,
            clouds_uuid=row.clouds_uuid,
            transfer_version=row.transfer_version,
            link_version=row.link_version,
            acknowledged_transfer_version=row.acknowledged_transfer_version,
            acknowledged_link_version=row.acknowledged_link_version,
            owed=row.owed,
            blocked=_why(row, state) if row.reason else None,
        )

    return router


def _why(one: seen.BlockedSeen | seen.RecordingSeen, state: LaneState) -> Blocked:
    """What the folder met before does not matter as long as nothing is sent at all."""
    if one.reason == "retrying" and state.reason is not None:
        return Blocked(reason=one.reason, message=f"{state.reason}: {state.message}", next_try_at=state.probe_at)
    return Blocked(reason=one.reason or "", message=one.message, next_try_at=one.next_try_at)
