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
IN_FLIGHT = 80_000
LOT = 5_000
# To look again at what is on its way costs as much as publishing a few of it, so many are given more time to come back.
WAIT_S = 0.05
WAIT_FOR_EACH_S = 25e-6
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
    _due: list[str] = field(default_factory=list)
    _on_its_way: int = 0

    async def step(self) -> float | None:
        """Publish one lot. Returns seconds until the next look, 0 if there is more, None if everything was heard."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            if not self._due:
                unheard = await self.unheard(connection, IN_FLIGHT)
                if not unheard:
                    self._published.clear()
                    return None
                self._due = self._not_published(unheard)
                self._on_its_way = len(unheard)
            lot, self._due = self._due[:LOT], self._due[LOT:]
            if lot and not await lease.take(connection, self.name, self._token, seconds=LEASE_S):
                self._due = []
                return LEASE_S
            facts = await self.facts(connection, lot) if lot else {}
        if not facts:
            return WAIT_S + self._on_its_way * WAIT_FOR_EACH_S
        try:
            await self.producer.publish([record for _, record in facts.values()])
        except (KafkaError, TimeoutError) as error:
            log.warning("not announced, will be tried again", loop=self.name, error=type(error).__name__)
            return RETRY_S
        now = time.monotonic()
        self._published.update({key: (version, now) for key, (version, _) in facts.items()})
        metrics.ANNOUNCED.labels(self.name).inc(len(facts))
        return 0

    def _not_published(self, unheard: Mapping[str, object]) -> list[str]:
        """Those not published of late. What is not among the first that are unheard any more was heard: forget it."""
        oldest = time.monotonic() - self.again_s
        published = {
            key: found
            for key, version in unheard.items()
            if (found := self._published.get(key)) and found[0] == version and found[1] > oldest
        }
        self._published = published
        return [key for key in unheard if key not in published]
