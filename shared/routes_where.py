"""The routes of every service that say how far it is and what it rests on, for whoever looks after it."""

from datetime import UTC, datetime

from aiokafka.errors import KafkaError
from fastapi import APIRouter
from pydantic import BaseModel

from shared import positions
from shared.about import AboutAnswer, about
from shared.lag import behind
from shared.service import Service
from shared.web import Problem

KAFKA_RETRY_S = 2


class PartitionLag(BaseModel):
    """How far the service is behind in one partition. `behind` counts offsets: at most so many records wait.

    `unread_since`: when the first record came that is not folded yet. `last_minute`: how many were published in it.
    """

    topic: str
    partition: int
    next_offset: int
    end_offset: int
    behind: int
    unread_since: datetime | None
    last_minute: int


class LagAnswer(BaseModel):
    """How far a service is behind the topics that it folds, by its own database and by Kafka."""

    service: str
    at: datetime
    partitions: list[PartitionLag]


def where_it_is(service: Service) -> APIRouter:
    """To be included in the service's own router."""
    router = APIRouter()

    @router.get("/about")
    async def read_about() -> AboutAnswer:
        """Versions, clocks and sizes of this service and its database, and what a ping to the cloud leads to now."""
        return await about(service.name, service.database, service.lane)

    @router.get("/lag")
    async def read_lag() -> LagAnswer:
        """How many records of each partition this service has not folded yet, and since when the oldest waits."""
        now = datetime.now(UTC)
        topics = [fold.topic.name for fold in service.folds]
        async with service.database.transaction() as connection:
            reached = await positions.read(connection, topics)
        try:
            found = await behind(service.kafka, topics, reached, now=now)
        except (KafkaError, TimeoutError) as error:
            detail = f"Kafka does not answer ({type(error).__name__})"
            raise Problem(503, "Not now", detail, retry_after_s=KAFKA_RETRY_S) from None
        return LagAnswer(
            service=service.name,
            at=now,
            partitions=[
                PartitionLag(
                    topic=one.partition.topic,
                    partition=one.partition.partition,
                    next_offset=one.next_offset,
                    end_offset=one.end_offset,
                    behind=one.records,
                    unread_since=one.unread_since,
                    last_minute=one.last_minute,
                )
                for one in found
            ],
        )

    return router
