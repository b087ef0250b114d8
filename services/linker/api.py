"""linker's HTTP API: link, unlink, how it stands. Recordings, parked links and imports are in api_<these>.py."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.audited import Audited
from schemas.events import TicketDetails
from schemas.fields import ARequestId, Instant
from services.linker import seen, seen_parked
from services.linker.api_models import (
    REQUESTED_AT,
    SAME_REQUEST,
    LinkAnswer,
    LinkBody,
    StatusAnswer,
)
from services.linker.decisions import KnownRecording, LinkRequest
from services.linker.link_recordings import (
    AlreadySo,
    CameLate,
    HasAnother,
    Linked,
    NotFound,
    Result,
    Unclear,
    Waits,
    link_recordings,
)
from services.linker.settings import LinkerSettings
from services.linker.store_candidates import Candidates
from services.linker.store_imports import Imports
from services.linker.store_matching import Matching
from services.linker.store_requests import Requests
from services.linker.target import Target
from shared import audit, dead_letters
from shared.database import notify
from shared.requested_by import RequestedBy
from shared.service import Service
from shared.web import PROBLEMS, Problem, ProblemDetails

NOT_FOUND: dict[int | str, dict[str, Any]] = {404: {"model": ProblemDetails, "description": "No such thing"}}
UNCLEAR: dict[int | str, dict[str, Any]] = {
    409: {"model": ProblemDetails, "description": "More than one fits; `candidates` names them"}
}
NAMES_ONE = "exactly one of recording_id and filename is needed"
Page = Annotated[int, Query(ge=1, le=1000)]
Text = Annotated[str, Query(min_length=1, max_length=500, pattern=r"^[^\x00]*$")]


def routes(service: Service, settings: LinkerSettings) -> APIRouter:
    """This service's own routes."""
    router = APIRouter(tags=["linker"], responses=PROBLEMS)
    _links(router, service)
    _looks(router, service, settings)
    return router


def _links(router: APIRouter, service: Service) -> None:
    @router.post("/links", responses=NOT_FOUND | UNCLEAR)
    async def link(body: LinkBody, who: RequestedBy = None) -> LinkAnswer:
        """Link a ticket to a recording; one that has not arrived is waited for."""
        asked = _Asked(
            request_id=body.request_id,
            requested_at=body.requested_at,
            target=Target(body.recording_id, body.filename, body.folder),
            ticket=body.ticket_info,
            linked_by=body.linked_by or who,
            park=body.park,
        )
        return await _apply(service, asked, who=who)

    @router.delete("/links", responses=NOT_FOUND | UNCLEAR)
    async def unlink(
        recording_id: Text | None = None,
        filename: Text | None = None,
        folder: Text | None = None,
        request_id: Annotated[ARequestId | None, Query(description=SAME_REQUEST)] = None,
        requested_at: Annotated[Instant | None, Query(description=REQUESTED_AT)] = None,
        linked_by: Annotated[str, Query(min_length=1, max_length=255, pattern=r"^[^\x00]*$")] | None = None,
        who: RequestedBy = None,
    ) -> LinkAnswer:
        """Remove a recording's ticket, or take back a parked link."""
        if (recording_id is None) == (filename is None):
            raise Problem(422, "Invalid request", NAMES_ONE, errors=[{"field": "query", "message": NAMES_ONE}])
        asked = _Asked(
            request_id=request_id,
            requested_at=requested_at,
            target=Target(recording_id, filename, folder),
            ticket=None,
            linked_by=linked_by or who,
            park=False,
        )
        return await _apply(service, asked, who=who)


@dataclass(frozen=True)
class _Asked:
    """What a caller asks for; it may leave open what the request is called and when it was made."""

    request_id: str | None
    requested_at: datetime | None
    target: Target
    ticket: TicketDetails | None
    linked_by: str | None
    park: bool

    def at(self, requested_at: datetime) -> LinkRequest:
        """The request, made at this time."""
        return LinkRequest(
            request_id=self.request_id or str(uuid4()),
            requested_at=requested_at,
            target=self.target,
            ticket=self.ticket,
            source="api",
            linked_by=self.linked_by,
            park=self.park,
        )


async def _apply(service: Service, asked: _Asked, *, who: str | None) -> LinkAnswer:
    now = datetime.now(UTC)
    async with service.database.transaction() as connection:
        await service.gate.pass_through(connection)
        requested_at = min(asked.requested_at or now, now)
        if asked.request_id and not asked.requested_at:
            requested_at = await Requests(connection).first_asked(asked.request_id, asked.target, now=now)
        request = asked.at(requested_at)
        [result] = await link_recordings([request], connection, now=now)
        loops = {Linked: ["announce_links"], Waits: ["match_parked"]}.get(type(result), [])
        await _record(connection, request, result, who=who)
        await notify(connection, loops)
    for name in loops:
        service.wake(name)
    return _answer(result, unlink=request.ticket is None)


async def _record(connection: AsyncConnection, request: LinkRequest, result: Result, *, who: str | None) -> None:
    """Names the version, of which the link's history has the content; only there if something was changed."""
    what: Audited
    match result:
        case Linked(recording, link_version):
            what = "linked" if request.ticket else "unlinked"
            subject, detail = recording.recording_id, {"link_version": link_version}
        case Waits(withdrew, repeated=False):
            what = "parked_link_withdrawn" if withdrew else "link_parked"
            subject, detail = request.target.recording_id or request.target.filename or "", {}
        case _:
            return
    await audit.record(
        connection,
        who=who or request.linked_by,
        what=what,
        subject=subject,
        detail={"request_id": request.request_id, **detail},
    )


def _answer(result: Result, *, unlink: bool) -> LinkAnswer:
    match result:
        case Linked(recording, link_version, display_name, replaced):
            return LinkAnswer(
                outcome="unlinked" if unlink else "overwrite" if replaced else "matched",
                recording_id=recording.recording_id,
                link_version=link_version,
                replaced_ticket_id=replaced,
                display_name=display_name,
            )
        case AlreadySo(recording, link_version):
            return LinkAnswer(
                outcome="unchanged", recording_id=recording.recording_id, link_version=link_version or None
            )
        case CameLate(recording, link_version):
            return LinkAnswer(
                outcome="stale",
                recording_id=recording.recording_id if recording else None,
                link_version=link_version or None,
            )
        case Waits(withdrew):
            return LinkAnswer(outcome="withdrawn" if withdrew else "parked")
        case NotFound():
            raise Problem(404, "Unknown recording", "No recording fits, and no parked link")
        case HasAnother():
            raise AssertionError("links that are asked for one by one overwrite")
        case Unclear(candidates):
            raise Problem(
                409,
                "Ambiguous",
                f"{len(candidates)} recordings fit; name the folder or the recording_id",
                candidates=shown(candidates),
            )


def shown(candidates: Sequence[KnownRecording]) -> list[dict[str, str | None]]:
    """Recordings that fit a name, as answers name them."""
    return [
        {
            "recording_id": one.recording_id,
            "folder_id": one.folder_id,
            "folder_name": one.folder_name,
            "filename": one.filename,
        }
        for one in candidates
    ]


def _looks(router: APIRouter, service: Service, settings: LinkerSettings) -> None:
    @router.get("/status", responses=NOT_FOUND | UNCLEAR)
    async def read_status(folder: Text | None = None) -> StatusAnswer:
        """Recordings by state, in all or in one folder."""
        async with service.database.transaction() as connection:
            folder_id = await one_folder(connection, folder)
            states = await seen.states(connection, folder_id=folder_id)
            expired_before = datetime.now(UTC) - timedelta(days=settings.parked_expire_after_days)
            parked = await seen_parked.counts(connection, expired_before=expired_before)
            return StatusAnswer(
                recordings=sum(states.counts.values()),
                states=dict(states.counts),
                oldest_pending_at=states.oldest_pending_at,
                parked=parked.parked,
                parked_expired=parked.expired,
                dead_letters=await dead_letters.count(connection),
                working=await Imports(connection).running() + await Matching(connection).undecided(),
            )


async def one_folder(connection: AsyncConnection, folder: str | None) -> str | None:
    """The folder_id of the folder of this id or name. A Problem if there is none, or more than one."""
    if folder is None:
        return None
    found = (await Candidates(connection).folders([folder]))[folder]
    if not found:
        raise Problem(404, "Unknown folder", f"No folder has the id or the name {folder!r}; see GET /folders")
    if len(found) > 1:
        raise Problem(409, "Ambiguous", f"{len(found)} folders have that name; give the folder_id", candidates=found)
    return found[0]
