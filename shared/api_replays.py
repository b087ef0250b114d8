"""The routes of replays, the same in every service: read a topic's old records once more, and see how far that is.

Nothing is published by a replay, and nothing is sent for what is in sync: a fact that is not newer changes nothing. An
own topic closes the gate until it is read again, so that nobody acts on half of it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Self

import structlog
from aiokafka.errors import KafkaError
from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StrictBool, StrictInt, model_validator
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import INT32_MAX, INT64_MAX, Instant
from shared import audit, replays, topics
from shared.replays import Stretch
from shared.requested_by import RequestedBy
from shared.service import Service
from shared.web import Problem, ProblemDetails

log = structlog.get_logger()

PARTITIONS_MAX = 10_000
KAFKA_AWAY_S = 2
# Kafka counts in milliseconds from 1970 in 64 bits; nothing was recorded before.
EARLIEST_YEAR = 1970

REFUSED: dict[int | str, dict[str, Any]] = {
    404: {"model": ProblemDetails, "description": "This service does not read such a topic"},
    409: {"model": ProblemDetails, "description": "A replay of this topic is not over yet"},
}


def _since_the_epoch(moment: datetime) -> datetime:
    if moment.year < EARLIEST_YEAR:
        raise ValueError("no record is older than 1970")
    return moment


# In JSON the names of an object are texts.
PartitionKey = Annotated[int, Field(ge=0, le=INT32_MAX)]
StrictOffset = Annotated[StrictInt, Field(ge=0, le=INT64_MAX)]


class ReplayBody(BaseModel):
    """From where: exactly one of `from_start`, `since` and `offsets`. With `dry_run` it is only said what it reads."""

    model_config = ConfigDict(extra="forbid")

    topic: str = Field(description="a topic that this service reads; see GET /positions")
    from_start: StrictBool = Field(default=False, description="every record that Kafka still has")
    since: Annotated[Instant, AfterValidator(_since_the_epoch)] | None = Field(
        default=None, description="records that are not older, by the time that stands in each record"
    )
    offsets: dict[PartitionKey, StrictOffset] | None = Field(
        default=None,
        min_length=1,
        max_length=PARTITIONS_MAX,
        description="partition → offset; other partitions are left alone",
    )
    dry_run: StrictBool = False

    @model_validator(mode="after")
    def _from_one_place(self) -> Self:
        if self.from_start + (self.since is not None) + (self.offsets is not None) != 1:
            raise ValueError("exactly one of from_start, since and offsets is needed")
        return self


class StretchAnswer(BaseModel):
    """Offsets of one partition, `from_offset` up to but not including `until_offset`."""

    partition: int
    from_offset: int
    until_offset: int


class PlannedAnswer(BaseModel):
    """What a replay reads. `records` at most: a compacted topic has gaps."""

    topic: str
    dry_run: bool
    records: int
    partitions: list[StretchAnswer]


class ReplayAnswer(BaseModel):
    """The newest replay of a topic. `to_read` and `left` are in offsets, the others in records; facts that came while
    it ran are counted as well. `bad` ones could not be applied and are dead letters, `empty` ones have no value.
    """

    model_config = ConfigDict(from_attributes=True)

    topic: str
    asked_by: str | None
    asked_at: datetime
    to_read: int
    left: int
    read: int
    newer: int
    unchanged: int
    bad: int
    empty: int


class ReplaysAnswer(BaseModel):
    """At most one for each topic that the service reads."""

    items: list[ReplayAnswer]


def routes(service: Service) -> APIRouter:
    """To be included in the service's own router."""
    router = APIRouter(tags=["operations"])

    @router.get("/replays")
    async def list_replays() -> ReplaysAnswer:
        """The newest replay of each topic, and how far it is; it is over when `left` is 0."""
        async with service.database.transaction() as connection:
            found = await replays.newest(connection, _topics(service))
        return ReplaysAnswer(items=[ReplayAnswer.model_validate(one) for one in found])

    @router.post("/replays", responses=REFUSED)
    async def replay(body: ReplayBody, who: RequestedBy = None) -> PlannedAnswer:
        """Read old records of a topic once more, from where it is said up to where the service stands."""
        if body.topic not in _topics(service):
            raise Problem(404, "Unknown topic", f"{service.name} reads {', '.join(sorted(_topics(service)))}")
        starts = await _starts(service, body)
        async with service.database.transaction() as connection:
            stretches = await _plan(connection, body, starts)
            if not body.dry_run:
                await _begin(connection, body.topic, stretches, who=who)
        if not body.dry_run:
            log.info("replay begun", topic=body.topic, records=sum(one.offsets for one in stretches))
        return PlannedAnswer(
            topic=body.topic,
            dry_run=body.dry_run,
            records=sum(one.offsets for one in stretches),
            partitions=[
                StretchAnswer(partition=one.partition, from_offset=one.start, until_offset=one.until)
                for one in stretches
            ],
        )

    return router


def _topics(service: Service) -> list[str]:
    return [fold.topic.name for fold in service.folds]


async def _starts(service: Service, body: ReplayBody) -> Mapping[int, int]:
    """By partition; never before what Kafka still has."""
    try:
        there = {place[1]: one for place, one in (await topics.extents(service.kafka, [body.topic])).items()}
        if body.since:
            return await topics.since(service.kafka, body.topic, body.since)
    except (KafkaError, TimeoutError):
        raise Problem(503, "Not now", "Kafka cannot be reached", retry_after_s=KAFKA_AWAY_S) from None
    if body.offsets is None:
        return {partition: offsets.start for partition, offsets in there.items()}
    unknown = sorted(body.offsets.keys() - there.keys())
    if unknown:
        raise _invalid(f"{body.topic} has no partition {unknown[0]}")
    return {partition: max(offset, there[partition].start) for partition, offset in body.offsets.items()}


async def _plan(connection: AsyncConnection, body: ReplayBody, starts: Mapping[int, int]) -> list[Stretch]:
    """The rows are locked. A Problem if it would move one forward, or if a replay of the topic is under way."""
    stretches = list(await replays.plan(connection, body.topic, starts))
    # First, as one that runs has moved them back: whoever asks again for what has begun is not told that it is ahead.
    if await replays.running(connection, body.topic) and not body.dry_run:
        raise Problem(409, "Already running", f"A replay of {body.topic} is not over yet; see GET /replays")
    ahead = sorted((body.offsets or {}).keys() - {one.partition for one in stretches})
    if ahead:
        raise _invalid(f"partition {ahead[0]} is not read as far as offset {starts[ahead[0]]}; a replay goes back only")
    return stretches


async def _begin(connection: AsyncConnection, topic: str, stretches: list[Stretch], *, who: str | None) -> None:
    await replays.begin(connection, topic, stretches, asked_by=who)
    places = {str(one.partition): [one.start, one.until] for one in stretches}
    await audit.record(connection, who=who, what="topic_replayed", subject=topic, detail={"offsets": places})


def _invalid(why: str) -> Problem:
    return Problem(422, "Invalid request", why, errors=[{"field": "offsets", "message": why}])
