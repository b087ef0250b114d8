"""linker's HTTP API for parked links: which wait, since when, and dropping those whose recording will not come."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from schemas.fields import Actor, Instant, Name
from services.linker import seen_parked
from services.linker.api import shown
from services.linker.decisions import KnownRecording
from services.linker.settings import LinkerSettings
from services.linker.store_candidates import Candidates
from services.linker.target import Target
from shared import audit
from shared.cursors import MAX_CHARS, Cursor, UnknownCursor, cursor_of, place_of
from shared.requested_by import RequestedBy
from shared.service import Service
from shared.web import PROBLEMS, Problem

log = structlog.get_logger()

DROP_MAX = 1_000


class ParkedConditions(BaseModel):
    """Conditions on a list of parked links, as they were asked for; all that are given have to be met."""

    folder: Name | None = Field(None, description="those that name this folder, by its id or by its name")
    filename: Name | None = None
    recording_id: Name | None = None
    ticket: Name | None = Field(None, description="the whole ticket_id")
    import_id: Name | None = None
    linked_by: Actor | None = None
    parked_before: Instant | None = Field(None, description="those that wait since before this time")
    expired: bool = Field(default=False, description="only those that wait longer than PARKED_EXPIRE_AFTER_DAYS")
    limit: int = Field(100, ge=1, le=1000)
    cursor: Cursor = ""


class CandidateAnswer(BaseModel):
    """A recording that a name may mean."""

    recording_id: str
    folder_id: str
    folder_name: str | None
    filename: str


class ParkedLinkAnswer(BaseModel):
    """A link that waits for its recording.

    `state`: expired if it waits longer than PARKED_EXPIRE_AFTER_DAYS; it is linked all the same if the recording
    comes. `candidates`: recordings that fit by now; linker is about to choose the first that has arrived.
    """

    parked_id: str
    request_id: str
    recording_id: str | None
    folder: str | None
    filename: str | None
    ticket_id: str
    source: str
    requested_at: datetime
    linked_by: str | None
    import_id: str | None
    parked_at: datetime
    age_s: int
    state: str = Field(pattern="^(waiting|expired)$")
    candidates: list[CandidateAnswer]


class ParkedLinksAnswer(BaseModel):
    """Parked links, the oldest first. A page may have fewer than asked for; it is the last without a cursor."""

    items: list[ParkedLinkAnswer]
    next_cursor: str | None


class DropBody(BaseModel):
    """Which parked links to give up, by their `parked_id`."""

    model_config = ConfigDict(extra="forbid")

    parked_ids: list[Annotated[str, Field(max_length=MAX_CHARS)]] = Field(min_length=1, max_length=DROP_MAX)


class DropAnswer(BaseModel):
    """How many were dropped, and how many were not waiting any more: linked, withdrawn, replaced or dropped."""

    dropped: int
    gone: int


def routes(service: Service, settings: LinkerSettings) -> APIRouter:
    """The routes of parked links."""
    router = APIRouter(tags=["parked links"], responses=PROBLEMS)

    @router.get("/parked-links")
    async def list_parked_links(conditions: Annotated[ParkedConditions, Query()]) -> ParkedLinksAnswer:
        """Links that wait for their recording, a page at a time."""
        now = datetime.now(UTC)
        expired_before = now - timedelta(days=settings.parked_expire_after_days)
        before = [conditions.parked_before, expired_before if conditions.expired else None]
        wanted = seen_parked.WantedParked(
            **conditions.model_dump(exclude={"expired", "parked_before"}),
            parked_before=min((one for one in before if one), default=None),
        )
        async with service.database.transaction() as connection:
            rows, next_cursor = await seen_parked.parked(connection, wanted)
            targets = [Target(row["recording_id"], row["filename"], row["folder"]) for row in rows]
            fitting = await Candidates(connection).of(targets)
        items = [
            _answer(row, candidates, now=now, expired_before=expired_before)
            for row, candidates in zip(rows, fitting, strict=True)
        ]
        return ParkedLinksAnswer(items=items, next_cursor=next_cursor)

    @router.post("/parked-links/drop")
    async def drop_parked_links(body: DropBody, who: RequestedBy = None) -> DropAnswer:
        """Give up links whose recording will not come; the request that asked for one does not bring it back."""
        try:
            asked = {_parked(parked_id) for parked_id in body.parked_ids}
        except UnknownCursor:
            wrong = "There is no such parked_id; see GET /parked-links"
            errors = [{"field": "parked_ids", "message": wrong}]
            raise Problem(422, "Invalid request", wrong, errors=errors) from None
        async with service.database.transaction() as connection:
            await service.gate.pass_through(connection)
            dropped = await seen_parked.drop(connection, sorted(asked), dropped_by=who, now=datetime.now(UTC))
            if dropped:
                request_ids = sorted({request_id for _, request_id in asked})
                await audit.record(
                    connection,
                    who=who,
                    what="parked_links_dropped",
                    subject="parked links",
                    detail={"links": dropped, "gone": len(asked) - dropped, "request_ids": request_ids},
                )
        log.info("parked links dropped", links=dropped, gone=len(asked) - dropped)
        return DropAnswer(dropped=dropped, gone=len(asked) - dropped)

    return router


def _answer(
    row: Mapping[str, Any], candidates: Sequence[KnownRecording], *, now: datetime, expired_before: datetime
) -> ParkedLinkAnswer:
    return ParkedLinkAnswer(
        parked_id=cursor_of("parked link", [row["target"], row["request_id"]]),
        **{name: value for name, value in row.items() if name != "target"},
        age_s=max(0, int((now - row["parked_at"]).total_seconds())),
        state="expired" if row["parked_at"] < expired_before else "waiting",
        candidates=[CandidateAnswer.model_validate(one) for one in shown(candidates)],
    )


def _parked(parked_id: str) -> tuple[str, str]:
    """(target, request_id)"""
    place = place_of(parked_id, "parked link", parts=2)
    if place is None:
        raise UnknownCursor
    return place[0], place[1]
