"""cloud_updater's HTTP API for resyncs: a plan before one, asking for one, how far it is, pause, resume and cancel.

A plan is made by the same query that carries a resync out, and changes nothing. A resync may be asked for here or by an
event TicketSyncRequested; both become the same row.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self
from uuid import uuid4

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator

from schemas.events import RESYNC_RATE_MAX, RESYNC_RECORDINGS_MAX, TicketSyncRequested
from schemas.fields import AFolderId, ARecordingId, ARequestId
from services.cloud_updater.decisions import Selection
from services.cloud_updater.resync_requests import ResyncRequests
from services.cloud_updater.seen_resyncs import Progress, ResyncsSeen, resync, resyncs
from shared.cursors import Cursor
from shared.database import notify
from shared.lane import Lane
from shared.requested_by import RequestedBy
from shared.service import Service
from shared.web import Problem, ProblemDetails

log = structlog.get_logger()

UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ProblemDetails, "description": "Unknown"}}
NOT_SO: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDetails, "description": "The resync is not in a state for this"}
}


class ResyncBody(BaseModel):
    """What is to be looked at again: exactly one of recording_ids, folder_id and all."""

    model_config = ConfigDict(extra="forbid")

    recording_ids: list[ARecordingId] | None = Field(None, min_length=1, max_length=RESYNC_RECORDINGS_MAX)
    folder_id: AFolderId | None = None
    all: StrictBool = False
    force: StrictBool = Field(default=False, description="push also what is in sync")
    rate_per_minute: StrictInt | None = Field(
        None, ge=1, le=RESYNC_RATE_MAX, description="requests to the cloud at most"
    )

    @model_validator(mode="after")
    def _selects_one_way(self) -> Self:
        if (self.recording_ids is not None) + (self.folder_id is not None) + self.all != 1:
            raise ValueError("exactly one of recording_ids, folder_id and all is needed")
        return self


class StartBody(ResyncBody):
    """The same, to be carried out."""

    request_id: ARequestId | None = Field(None, description="acts once; made up if missing")


class PlanAnswer(BaseModel):
    """What a resync would do now, by recordings. `blocked` would be tried at once as well: what the cloud has refused,
    what lies in a folder that it has lost or that waits for its next try, all of it while the lane is stopped.

    `not_transferred` is null for a folder and for all: this service does not hear of every recording; linker does.
    `requests`: at least so many. `folders_before`: folders that are due already, whose turn is before. `expected_s`:
    with the time for those, which `wait_s` is alone. They are null, and `not_known_as` says why, while the way to the
    cloud is stopped, and if no limit says how fast and nothing was sent since the start.
    """

    to_send: int
    blocked: int
    in_sync: int
    no_ticket: int
    not_transferred: int | None
    folders: int
    requests: int
    folders_before: int
    wait_s: float | None
    expected_s: float | None
    not_known_as: Literal["way_is_stopped", "nothing_was_sent"] | None


class ResyncAnswer(BaseModel):
    """A resync. `recordings`: how many it names; null, with `folder_id` null as well: it is of everything.

    `state`: waiting, running, paused, carried_out or cancelled. `made_owed`: recordings to be pushed that it has found
    so far.
    """

    request_id: str
    requested_at: datetime
    requested_by: str
    received_at: datetime
    force: bool
    recordings: int | None
    folder_id: str | None
    rate_per_minute: int | None
    state: str
    made_owed: int
    done_at: datetime | None


class ResyncWithProgress(ResyncAnswer):
    """The same, with how many of its folders are looked at, and how many of its recordings are still to be pushed.

    `refused`: of its recordings, those that the cloud refuses, or that lie in a folder which it has lost.
    `folders_before`: folders that were due before its next step; one with a rate takes none before they had their turn.
    """

    folders: int
    folders_done: int
    owed: int
    refused: int
    folders_before: int


class ResyncsAnswer(BaseModel):
    """A page of resyncs, the newest first; it is the last without a cursor."""

    items: list[ResyncAnswer]
    next_cursor: str | None


class Started(BaseModel):
    """The resync is stored and will be carried out. `new`: false if it was there already."""

    request_id: str
    new: bool


def routes(service: Service, lane: Lane) -> APIRouter:
    """The routes of resyncs."""
    router = APIRouter(tags=["resyncs"])
    _planned(router, service, lane)
    _seen(router, service)
    _steered(router, service)
    return router


def _planned(router: APIRouter, service: Service, lane: Lane) -> None:
    @router.post("/resyncs/plan")
    async def plan_resync(body: ResyncBody) -> PlanAnswer:
        """What a resync would do as things are; nothing is changed."""
        selection = Selection(force=body.force, recording_ids=body.recording_ids, folder_id=body.folder_id)
        async with service.database.transaction() as connection:
            state = await lane.look(connection)
            seen = ResyncsSeen(connection)
            shares = await seen.shares(selection, shut=state.reason is not None)
            # What is due already is pushed once, with what the resync finds; one with a rate lets it go first.
            twice = body.force and body.rate_per_minute
            both = [] if twice else [one.clouds_uuid for one in shares if one.to_push]
            before = await seen.folders_before(datetime.now(UTC), besides=both)
        to_push, recordings = sum(one.to_push for one in shares), sum(one.recordings for one in shares)
        blocked, no_ticket = sum(one.blocked for one in shares), sum(one.no_ticket for one in shares)
        requests = sum(one.requests for one in shares)
        asked = None if body.recording_ids is None else len(set(body.recording_ids))
        wait_s = lane.expected_s(before) if before else 0.0
        alone_s = lane.expected_s(requests, rate_per_minute=body.rate_per_minute)
        known = state.reason is None and wait_s is not None and alone_s is not None
        return PlanAnswer(
            to_send=to_push - blocked,
            blocked=blocked,
            in_sync=recordings - to_push - no_ticket,
            no_ticket=no_ticket,
            not_transferred=None if asked is None else asked - recordings,
            folders=len(shares),
            requests=requests,
            folders_before=before,
            wait_s=wait_s if known else None,
            expected_s=(wait_s or 0) + (alone_s or 0) if known else None,
            not_known_as=None if known else "way_is_stopped" if state.reason else "nothing_was_sent",
        )

    @router.post("/resyncs", status_code=202)
    async def start_resync(body: StartBody, who: RequestedBy = None) -> Started:
        """Look again, and push what is not in sync; with force, everything selected."""
        now = datetime.now(UTC)
        request = TicketSyncRequested.model_validate(
            {
                **body.model_dump(exclude={"request_id"}, exclude_none=True),
                "request_id": body.request_id or str(uuid4()),
                "requested_at": now,
                "requested_by": who or "API",
            }
        )
        async with service.database.transaction() as connection:
            await service.gate.pass_through(connection)
            new = await ResyncRequests(connection).receive([(request, now)])
            await notify(connection, ["expand_resyncs"])
        return Started(request_id=request.request_id, new=bool(new))


def _seen(router: APIRouter, service: Service) -> None:
    @router.get("/resyncs")
    async def read_resyncs(
        *,
        unfinished: bool = False,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
        cursor: Annotated[Cursor, Query()] = "",
    ) -> ResyncsAnswer:
        """Resyncs, the newest first, a page at a time; with unfinished=true, only those that are not over."""
        async with service.database.transaction() as connection:
            found, next_cursor = await resyncs(connection, unfinished=unfinished, limit=limit, cursor=cursor)
        return ResyncsAnswer(items=[ResyncAnswer(**one) for one in found], next_cursor=next_cursor)

    @router.get("/resyncs/{request_id:anything}", responses=UNKNOWN)
    async def read_resync(request_id: str) -> ResyncWithProgress:
        """One resync and how far it is."""
        async with service.database.transaction() as connection:
            return _answer(await resync(connection, request_id))


def _steered(router: APIRouter, service: Service) -> None:
    @router.post("/resyncs/{request_id:anything}/pause", responses=UNKNOWN | NOT_SO)
    async def pause_resync(request_id: ARequestId, who: RequestedBy = None) -> ResyncWithProgress:
        """Look at no more folders until it is resumed; what it has found to be pushed is pushed."""
        async with service.database.transaction() as connection:
            changed = await ResyncRequests(connection).pause(request_id, who=who)
            return _steered_to(await resync(connection, request_id), changed=changed)

    @router.post("/resyncs/{request_id:anything}/resume", responses=UNKNOWN | NOT_SO)
    async def resume_resync(request_id: ARequestId, who: RequestedBy = None) -> ResyncWithProgress:
        """Go on with a paused resync where it stood."""
        async with service.database.transaction() as connection:
            changed = await ResyncRequests(connection).resume(request_id, who=who)
            await notify(connection, ["expand_resyncs"])
            return _steered_to(await resync(connection, request_id), changed=changed)

    @router.post("/resyncs/{request_id:anything}/cancel", responses=UNKNOWN | NOT_SO)
    async def cancel_resync(request_id: ARequestId, who: RequestedBy = None) -> ResyncWithProgress:
        """End a resync as it stands; what it has found to be pushed is pushed."""
        async with service.database.transaction() as connection:
            changed = await ResyncRequests(connection).cancel(request_id, who=who)
            return _steered_to(await resync(connection, request_id), changed=changed)


def _answer(found: tuple[Mapping[str, Any], Progress] | None) -> ResyncWithProgress:
    if found is None:
        raise Problem(404, "Unknown resync", "No resync of this request_id was taken up by this database")
    row, progress = found
    return ResyncWithProgress(**row, **vars(progress))


def _steered_to(found: tuple[Mapping[str, Any], Progress] | None, *, changed: bool) -> ResyncWithProgress:
    answer = _answer(found)
    if not changed:
        raise Problem(409, "Not now", f"The resync is {answer.state}", state=answer.state)
    log.info("resync is now", request_id=answer.request_id, state=answer.state)
    return answer
