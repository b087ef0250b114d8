"""Announces rows and marks them when Kafka has acknowledged, for facts that nobody needs to hear back.

For dead letters, which nothing folds, and for acknowledgements of the cloud: a late or repeated one is harmless. What
a crash leaves unmarked is published once more, byte for byte the same. Facts whose newest version must be the last word
on their topic are announced by shared/announce.py instead.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from uuid import UUID, uuid4

import structlog
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import lease, metrics
from shared.database import Database
from shared.gate import Gate
from shared.producer import Outgoing, Producer

log = structlog.get_logger()

LEASE_S = 5.0
RETRY_S = 1.0
# A lot costs a few statements whatever it holds: what comes in quick succession goes together.
GATHER_S = 0.25


@dataclass(frozen=True)
class Lot:
    """Records to publish, perhaps none, and how their rows are marked once Kafka has them. `full`: there are more."""

    records: Sequence[Outgoing]
    full: bool
    mark: Callable[[AsyncConnection], Awaitable[None]]


@dataclass(eq=False)
class OnceAnnouncer:
    """The step of a reconcile loop. `lot(connection)`: what is to be announced next, None if there is nothing."""

    name: str
    database: Database
    producer: Producer
    lot: Callable[[AsyncConnection], Awaitable[Lot | None]]
    gate: Gate | None = None
    _token: UUID = field(default_factory=uuid4)

    async def step(self) -> float | None:
        """Publish one lot. Returns when there may be more worth a lot; None: nothing, or another replica is at it."""
        async with self.database.transaction() as connection:
            if self.gate:
                await self.gate.pass_through(connection)
            lot = await self.lot(connection)
            if lot is None or not await lease.take(connection, self.name, self._token, seconds=LEASE_S):
                return None
        try:
            await self.producer.publish(lot.records)
        except (KafkaError, TimeoutError) as error:
            log.warning("not announced, will be tried again", loop=self.name, error=type(error).__name__)
            return RETRY_S
        async with self.database.transaction() as connection:
            await lot.mark(connection)
            await lease.give_back(connection, self.name, self._token)
        metrics.ANNOUNCED.labels(self.name).inc(len(lot.records))
        return 0 if lot.full else GATHER_S
