"""The announcer: publishes the current state of rows until it has come back.

A row is announced when the last record of its key on the service's own topic, by offset, carries the row's version; the
fold writes that down as `heard`. Whatever is not heard is published, and again if that was a while ago. This one rule
covers a crash between publishing and marking, an acknowledgement that got lost, and an announcer that slept, woke up
late and put an old fact behind a newer one. There is no outbox: versions may be skipped, the newest never is.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar
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
# Each takes half a kilobyte until it has come back. A large import is on its topic before linker hears any of it.
IN_FLIGHT = 100_000
LOT = 5_000
# To look again at what is on its way costs as much as publishing a few of it, so many are given more time to come back.
WAIT_S = 0.05
WAIT_FOR_EACH_S = 25e-6
RETRY_S = 1.0
# With a Kafka that takes longer, what was published has to be heard meanwhile, or it would seem lost.
HURRY_S = 10.0

Unheard = Callable[[AsyncConnection, int], Awaitable[Mapping[str, object]]]
_Facts = Mapping[str, tuple[object, Outgoing]]
Facts = Callable[[AsyncConnection, Sequence[str]], Awaitable[_Facts]]


@dataclass(eq=False)
class Announcer:
    """The step of a reconcile loop.

    `unheard(connection, limit)`: key → version of rows whose version was not heard, in the order to publish.
    `facts(connection, keys)`: key → (version, record) as those rows are now. `at_rest`: nothing is being published, or
    has been for HURRY_S.
    """

    name: str
    database: Database
    gate: Gate
    producer: Producer
    unheard: Unheard
    facts: Facts
    again_s: float
    at_rest: asyncio.Event = field(default_factory=asyncio.Event)
    _token: UUID = field(default_factory=uuid4)
    _published: dict[str, tuple[object, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.at_rest.set()

    async def step(self) -> float | None:
        """Publish all that is due. Returns seconds until the next look, 0 if there is more, None if all was heard."""
        async with self._transaction() as connection:
            unheard = await self.unheard(connection, IN_FLIGHT)
            if not unheard:
                self._published.clear()
                return None
            due = self._not_published(unheard)
            facts = await self._read(connection, due[:LOT])
        if facts is None:
            return LEASE_S
        if not facts:
            return WAIT_S + len(unheard) * WAIT_FOR_EACH_S
        self.at_rest.clear()
        try:
            return await self._publish_all(facts, due[LOT:])
        finally:
            self.at_rest.set()

    async def _publish_all(self, facts: _Facts, due: list[str]) -> float:
        """These, and lot by lot what is due behind them: while one is on its way to Kafka, the next is read."""
        began_at = time.monotonic()
        while due:
            wait_s, ahead = await _both(self._publish(facts), self._read_ahead(due[:LOT]))
            if wait_s or ahead is None:
                return wait_s or LEASE_S
            facts, due = ahead, due[LOT:]
            if time.monotonic() - began_at > HURRY_S:
                self.at_rest.set()
        return await self._publish(facts)

    async def _read_ahead(self, lot: list[str]) -> _Facts | None:
        async with self._transaction() as connection:
            return await self._read(connection, lot)

    async def _read(self, connection: AsyncConnection, lot: list[str]) -> _Facts | None:
        """None: another process announces."""
        if lot and not await lease.take(connection, self.name, self._token, seconds=LEASE_S):
            return None
        return await self.facts(connection, lot) if lot else {}

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            yield connection

    async def _publish(self, facts: _Facts) -> float:
        """Seconds to wait before anything else is published."""
        try:
            await self.producer.publish([record for _, record in facts.values()])
        except (KafkaError, TimeoutError) as error:
            log.warning("not announced, will be tried again", loop=self.name, error=type(error).__name__)
            return RETRY_S
        now = time.monotonic()
        noted = {version: (version, now) for version, _ in facts.values()}  # few differ, and all are kept for a while
        self._published.update({key: noted[version] for key, (version, _) in facts.items()})
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


One = TypeVar("One")
Other = TypeVar("Other")


async def _both(one: Awaitable[One], other: Awaitable[Other]) -> tuple[One, Other]:
    """Both to their ends, whatever becomes of either: nothing goes on behind the next step's back."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException):
        raise second
    return first, second
