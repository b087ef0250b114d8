"""The routes and answers that the services' APIs share."""

from datetime import datetime
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from schemas.audited import Audited
from schemas.fields import Instant, Name, Text255
from shared import api_dead_letters, api_replays, audit, pause, positions
from shared.cursors import Cursor
from shared.database import notify
from shared.lane import Lane
from shared.lane_state import LaneState
from shared.requested_by import RequestedBy
from shared.routes_where import where_it_is
from shared.service import Service

log = structlog.get_logger()


class PositionAnswer(BaseModel):
    """The next offset of one partition that the service has not folded."""

    topic: str
    partition: int
    next_offset: int


class PositionsAnswer(BaseModel):
    """How far a service has folded each topic, and whether it may act on it yet."""

    service: str
    gate: str
    positions: list[PositionAnswer]


class AuditConditions(BaseModel):
    """Conditions on the audit records; those that are given have to be met, all of them."""

    who: Name | None = None
    what: Audited | None = None
    subject: Name | None = None
    since: Instant | None = Field(None, description="only what was done at this time or later")
    limit: int = Field(100, ge=1, le=1000)
    cursor: Cursor = ""


class AuditRecordAnswer(BaseModel):
    """What somebody did: `what` to `subject`. `who` is null if the caller did not say (X-Requested-By)."""

    model_config = ConfigDict(from_attributes=True)

    time: datetime
    who: str | None
    what: str
    subject: str
    detail: dict[str, Any]


class AuditAnswer(BaseModel):
    """A page of audit records, the newest first; it is the last without a cursor."""

    items: list[AuditRecordAnswer]
    next_cursor: str | None


def common(service: Service) -> APIRouter:
    """To be included in the service's own router."""
    router = APIRouter(tags=["operations"])

    @router.get("/positions")
    async def read_positions() -> PositionsAnswer:
        """How far this service has folded each partition, by its own database."""
        async with service.database.transaction() as connection:
            rows = await positions.read(connection, [fold.topic.name for fold in service.folds])
        return PositionsAnswer(
            service=service.name,
            gate="open" if service.gate.is_open else "closed",
            positions=[
                PositionAnswer(topic=one.topic, partition=one.partition, next_offset=next_offset)
                for one, next_offset in sorted(rows.items())
            ],
        )

    @router.get("/audit")
    async def read_audit(conditions: Annotated[AuditConditions, Query()]) -> AuditAnswer:
        """What was done through this service's API, and which resyncs were asked for: who, when, to what."""
        async with service.database.transaction() as connection:
            found, next_cursor = await audit.recorded(connection, audit.Wanted(**conditions.model_dump()))
        return AuditAnswer(items=[AuditRecordAnswer.model_validate(one) for one in found], next_cursor=next_cursor)

    router.include_router(where_it_is(service))
    router.include_router(api_replays.routes(service))
    router.include_router(api_dead_letters.routes(service))
    return router


class PauseBody(BaseModel):
    """Why the lane is paused; shown to whoever wonders why nothing moves."""

    model_config = ConfigDict(extra="forbid")

    why: Text255


class PausedAnswer(BaseModel):
    """Who has paused the lane (null: the caller did not say), since when, and why."""

    model_config = ConfigDict(from_attributes=True)

    at: datetime
    by: str | None
    why: str


class LaneAnswer(BaseModel):
    """Whether requests may be sent to the cloud; if not, why, and when the next one is tried all the same.

    `paused`: a person has stopped it; then nothing is tried before a person lets it go on.
    """

    open: bool
    reason: str | None
    message: str | None
    probe_at: datetime | None
    capabilities: list[str]
    paused: PausedAnswer | None


def lane_answer(state: LaneState) -> LaneAnswer:
    """The lane for an API's answer."""
    return LaneAnswer(
        open=state.reason is None,
        reason=state.reason,
        message=state.message,
        probe_at=state.probe_at if state.reason else None,
        capabilities=sorted(state.capabilities),
        paused=PausedAnswer.model_validate(state.paused) if state.paused else None,
    )


def lane_routes(service: Service, lane: Lane, *, loop: str) -> APIRouter:
    """To be included in the router of a service that calls the cloud; `loop` is the one that does it."""
    router = APIRouter(tags=["lane"])

    @router.post("/lane/pause")
    async def pause_lane(body: PauseBody, who: RequestedBy = None) -> LaneAnswer:
        """Send nothing to the cloud until somebody lets the lane go on; requests that are under way end as ever."""
        async with service.database.transaction() as connection:
            await pause.pause(connection, who=who, why=body.why)
            state = await lane.look(connection)
        log.warning("lane paused", message=state.message)
        return lane_answer(state)

    @router.post("/lane/resume")
    async def resume_lane(who: RequestedBy = None) -> LaneAnswer:
        """Let a paused lane go on. One that is not paused stays as it is."""
        async with service.database.transaction() as connection:
            if await pause.resume(connection, who=who):
                await notify(connection, [loop])
            state = await lane.look(connection)
        log.info("lane goes on", reason=state.reason)
        return lane_answer(state)

    return router
