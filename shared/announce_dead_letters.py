"""Publishes dead-letter rows to the service's dlq topic, the original bytes under the original key.

Nothing folds these topics, so a row is marked when Kafka has acknowledged it; a crash in between publishes it once
more, with the same headers, by which the two are known to be one.
"""

from dataclasses import dataclass, field
from uuid import UUID, uuid4

import structlog
from aiokafka.errors import KafkaError

from schemas.topics import Topic
from shared import dead_letters, lease, metrics
from shared.database import Database
from shared.producer import Outgoing, Producer

log = structlog.get_logger()

NAME = "announce_dead_letters"
LEASE_S = 40.0
LOT = 50
RETRY_S = 1.0


@dataclass(eq=False)
class DeadLetterAnnouncer:
    """The step of a reconcile loop."""

    topic: Topic
    database: Database
    producer: Producer
    _token: UUID = field(default_factory=uuid4)

    async def step(self) -> float | None:
        """Publish one lot. Returns 0 if there may be more, None if there is nothing."""
        async with self.database.transaction() as connection:
            letters = await dead_letters.unpublished(connection, limit=LOT)
            if not letters or not await lease.take(connection, NAME, self._token, seconds=LEASE_S):
                return None
        try:
            await self.producer.publish([Outgoing(self.topic.name, one.key, one.value, one.headers) for one in letters])
        except (KafkaError, TimeoutError) as error:
            log.warning("dead letters not published, will be tried again", error=type(error).__name__)
            return RETRY_S
        async with self.database.transaction() as connection:
            await dead_letters.mark_published(connection, letters)
            await lease.give_back(connection, NAME, self._token)
        metrics.ANNOUNCED.labels(NAME).inc(len(letters))
        return 0
