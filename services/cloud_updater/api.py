"""cloud_updater's HTTP API: what is owed to the cloud and what keeps it from there."""

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import BaseModel

from schemas.topics import TICKET_LINKED
from services.cloud_updater import api_resyncs, seen
from services.cloud_updater.api_verify import reading_back
from shared import dead_letters
from shared.cursors import Cursor, cursor_of, place_of
from shared.lane import Lane
from shared.lane_state import LaneState
from shared.places import PlaceAnswer, place_answer
from shared.routes import LaneAnswer, lane_answer, lane_routes
from shared.service import Service
from shared.web import PROBLEMS, Problem, ProblemDetails

Reason = Literal["retrying", "rejected", "outcome_unknown", "missing_in_cloud"]


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
    """A page of them; it is the last without a cursor."""

    items: list[BlockedRecording]
    next_cursor: str | None


class RecordingAnswer(BaseModel):
    """One recording: the link that is wanted, the one that is known to be in the cloud.

    `linked`: where the wanted link's TicketLinked stands. Of its folder in the cloud: `attempts`, pushes that failed in
    a row, and `pushed_at`, the last one that did not. `resyncs`: request_ids of those that are not carried out yet.
    """

    recording_id: str
    folder_id: str | None
    clouds_uuid: str | None
    transfer_version: int
    link_version: int
    acknowledged_transfer_version: int
    acknowledged_link_version: int
    owed: bool
    blocked: Blocked | None
    linked: PlaceAnswer | None
    attempts: int | None
    pushed_at: datetime | None
    resyncs: list[str]


def routes(service: Service, lane: Lane) -> APIRouter:
    """This service's own routes."""
    router = APIRouter(tags=["cloud_updater"], responses=PROBLEMS)
    router.include_router(lane_routes(service, lane, loop="push_tickets"))
    router.include_router(api_resyncs.routes(service, lane))

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

    @router.get(
        "/recordings/{recording_id:anything}", responses={404: {"model": ProblemDetails, "description": "Unknown"}}
    )
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
            linked=place_answer(TICKET_LINKED, row.link_place),
            attempts=row.attempts,
            pushed_at=row.pushed_at,
            resyncs=list(row.resyncs),
        )

    router.include_router(reading_back(service, lane))
    return router


def _why(one: seen.BlockedSeen | seen.RecordingSeen, state: LaneState) -> Blocked:
    """What the folder met before does not matter as long as nothing is sent at all."""
    if one.reason == "retrying" and state.reason is not None:
        return Blocked(reason=one.reason, message=f"{state.reason}: {state.message}", next_try_at=state.probe_at)
    return Blocked(reason=one.reason or "", message=one.message, next_try_at=one.next_try_at)
