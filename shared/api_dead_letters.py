"""The routes of dead letters, the same in every service: list, look at one, redrive, discard.

Lists never hold what a record says: transcripts and customers' names stand in there. It is shown of one place at a
time, and only if that is asked for. Each place is settled in a transaction of its own, with its audit record.
"""

import base64
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, assert_never

import structlog
from fastapi import APIRouter, Path, Query
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.audited import Audited
from schemas.fields import INT32_MAX, INT64_MAX, Name
from shared import audit, redrive
from shared.api_dead_letter_models import (
    ContentAnswer,
    DeadLetterAnswer,
    DeadLetterConditions,
    DeadLettersAnswer,
    HeaderAnswer,
    PlacesBody,
    SettledAnswer,
    SettledsAnswer,
    WholeAnswer,
    WholesAnswer,
)
from shared.cursors import UnknownCursor, cursor_of, place_of
from shared.fold import Fold
from shared.redrive import Applied, NotOpen, Place, Redriven, StillDead, Wanted
from shared.requested_by import RequestedBy
from shared.service import Service
from shared.web import Problem, ProblemDetails

log = structlog.get_logger()

_ORDER = "dead letters"

UNKNOWN: dict[int | str, dict[str, Any]] = {404: {"model": ProblemDetails, "description": "Nothing stands there"}}


def routes(service: Service) -> APIRouter:
    """To be included in the service's own router."""
    router = APIRouter(tags=["dead letters"])
    _looks(router, service)

    @router.post("/dead-letters/redrive")
    async def redrive_dead_letters(body: PlacesBody, who: RequestedBy = None) -> SettledsAnswer:
        """Fold these records again, as they came. Harmless if repeated; what is still wrong stays a dead letter."""
        folds = {fold.topic.name: fold for fold in service.folds}

        async def settle(connection: AsyncConnection, place: Place) -> SettledAnswer:
            fold = folds.get(place.topic)
            return _redriven(place, await _redrive(connection, place, fold, who, wake) if fold else NotOpen())

        wake: list[str] = []
        answers = [await _settled(service, Place(**vars(one)), settle, dry_run=body.dry_run) for one in body.places]
        for name in [] if body.dry_run else wake:
            service.wake(name)
        return SettledsAnswer(items=answers)

    @router.post("/dead-letters/discard")
    async def discard_dead_letters(body: PlacesBody, who: RequestedBy = None) -> SettledsAnswer:
        """Say of these that they will not be applied. They do not count any more; the list of the settled has them."""

        async def settle(connection: AsyncConnection, place: Place) -> SettledAnswer:
            if not await redrive.discard(connection, place, who=who):
                return SettledAnswer(**vars(place), outcome="not_open")
            await _record(connection, place, who=who, what="dead_letter_discarded")
            return SettledAnswer(**vars(place), outcome="discarded")

        answers = [await _settled(service, Place(**vars(one)), settle, dry_run=body.dry_run) for one in body.places]
        return SettledsAnswer(items=answers)

    return router


def _looks(router: APIRouter, service: Service) -> None:
    @router.get("/dead-letters")
    async def list_dead_letters(conditions: Annotated[DeadLetterConditions, Query()]) -> DeadLettersAnswer:
        """Records that could not be applied, without what they hold."""
        read = sorted(fold.topic.name for fold in service.folds)
        if conditions.topic is not None and conditions.topic not in read:
            why = f"The service does not read {conditions.topic}; it reads {', '.join(read)}"
            raise Problem(422, "Invalid request", why, errors=[{"field": "query.topic", "message": why}])
        wanted = Wanted(**conditions.model_dump(exclude={"cursor"}), after=_after(conditions.cursor))
        async with service.database.transaction() as connection:
            found = await redrive.seen(connection, wanted)
        last = found[-1] if len(found) == conditions.limit else None
        place = last and [last.topic, str(last.partition), str(last.offset), last.content.hex()]
        return DeadLettersAnswer(
            items=[DeadLetterAnswer.model_validate(one) for one in found],
            next_cursor=cursor_of(_ORDER, place) if place else None,
        )

    @router.get("/dead-letters/{topic}/{partition}/{offset}", responses=UNKNOWN)
    async def read_dead_letter(
        topic: Name,
        partition: Annotated[int, Path(ge=0, le=INT32_MAX)],
        offset: Annotated[int, Path(ge=0, le=INT64_MAX)],
        *,
        content: Annotated[bool, Query(description="with key, value and headers, which may be confidential")] = False,
    ) -> WholesAnswer:
        """What could not be applied at this place."""
        async with service.database.transaction() as connection:
            found = await redrive.whole(connection, Place(topic, partition, offset))
        if not found:
            raise Problem(404, "Unknown dead letter", f"No dead letter of {topic} stands at {partition}:{offset}")
        return WholesAnswer(
            items=[
                WholeAnswer(
                    **DeadLetterAnswer.model_validate(one.seen).model_dump(), content=_content(one) if content else None
                )
                for one in found
            ]
        )


async def _settled(
    service: Service,
    place: Place,
    settle: Callable[[AsyncConnection, Place], Awaitable[SettledAnswer]],
    *,
    dry_run: bool,
) -> SettledAnswer:
    """In a transaction of its own; a dry run does the same and takes it back."""
    async with service.database.transaction(keep=not dry_run) as connection:
        answer = await settle(connection, place)
    if not dry_run:
        log.info("dead letter looked after", **answer.model_dump(exclude_none=True))
    return answer


async def _redrive(connection: AsyncConnection, place: Place, fold: Fold, who: str | None, wake: list[str]) -> Redriven:
    if fold.needs_gate:
        await fold.gate.pass_through(connection)
    done = await redrive.redrive(connection, place, topic=fold.topic, apply=fold.apply, who=who)
    if isinstance(done, Applied):
        wake += done.folded.wake
        await _record(connection, place, who=who, what="dead_letter_redriven")
    return done


async def _record(connection: AsyncConnection, place: Place, *, who: str | None, what: Audited) -> None:
    detail = {"partition": place.partition, "offset": place.offset}
    await audit.record(connection, who=who, what=what, subject=place.topic, detail=detail)


def _redriven(place: Place, done: Redriven) -> SettledAnswer:
    match done:
        case Applied():
            return SettledAnswer(**vars(place), outcome="applied" if done.newer else "nothing_new")
        case StillDead(reason, error):
            return SettledAnswer(**vars(place), outcome="still_dead", reason=reason, error=error)
        case NotOpen():
            return SettledAnswer(**vars(place), outcome="not_open")
        case never:
            assert_never(never)


def _content(one: redrive.Whole) -> ContentAnswer:
    headers = [
        # A name that is no UTF-8 came as lone surrogates, which JSON cannot carry.
        HeaderAnswer(name=name.encode("utf-8", "replace").decode(), value=None if value is None else _base64(value))
        for name, value in one.headers
    ]
    return ContentAnswer(key=None if one.key is None else _base64(one.key), value=_base64(one.value), headers=headers)


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _after(cursor: str) -> tuple[str, int, int, bytes] | None:
    place = place_of(cursor, _ORDER, parts=4)
    if place is None:
        return None
    try:
        return place[0], int(place[1]), int(place[2]), bytes.fromhex(place[3])
    except ValueError:
        raise UnknownCursor from None
