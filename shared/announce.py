"""The announcer: publishes the current state of rows until it has come back.

A row is announced when the last record of its key on the service's own topic, by offset, carries the row's version; the
fold writes that down as `heard`. Whatever is not heard is published, and again if that was a while ago. This one rule
covers a crash between publishing and marking, an acknowledgement that got lost, and an announcer that slept, woke up
late and put an old fact behind a newer one. There is no outbox: versions may be skipped, the newest never is.
"""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
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
IN_FLIGHT = 5_000
WAIT_S = 0.05
RETRY_S = 1.0

Unheard = Callable[[AsyncConnection, int], Awaitable[Mapping[str, object]]]
Facts = Callable[[AsyncConnection, Sequence[str]], Awaitable[Mapping[str, tuple[object, Outgoing]]]]


@dataclass(eq=False)
class Announcer:
    """The step of a reconcile loop.

    `unheard(connection, limit)`: key → version of rows whose version was not heard, in the order to publish.
    `facts(connection, keys)`: key → (version, record) as those rows are now.
    """

    name: str
    database: Database
    gate: Gate
    producer: Producer
    unheard: Unheard
    facts: Facts
    again_s: float
    _token: UUID = field(default_factory=uuid4)
    _published: dict[str, tuple[object, float]] = field(default_factory=dict)

    async def step(self) -> float | None:
        """Publish one lot. Returns seconds until the next look, 0 if there is more, None if everything was heard."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            unheard = await self.unheard(connection, IN_FLIGHT)
            due = self._due(unheard)
            if due and not await lease.take(connection, self.name, self._token, seconds=LEASE_S):
                return LEASE_S
            facts = await self.facts(connection, due) if due else {}
        if not facts:
            return WAIT_S if unheard else None
        try:
            await self.producer.publish([record for _, record in facts.values()])
        except (KafkaError, TimeoutError) as error:
            log.warning("not announced, will be tried again", loop=self.name, error=type(error).__name__)
            return RETRY_S
        now = time.monotonic()
        self._published.update({key: (version, now) for key, (version, _) in facts.items()})
        metrics.ANNOUNCED.labels(self.name).inc(len(facts))
        return 0

    def _due(self, unheard: Mapping[str, object]) -> list[str]:
        """Those not published of late; what needs no remembering any more is forgotten."""
        oldest = time.monotonic() - self.again_s
        complete = len(unheard) < IN_FLIGHT
        self._published = {
            key: (version, at)
            for key, (version, at) in self._published.items()
            if at > oldest and (not complete or unheard.get(key) == version)
        }
        return [key for key, version in unheard.items() if self._published.get(key, (None,))[0] != version]
