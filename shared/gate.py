"""The gate: nothing acts and nothing gets a version before this database knows what had been done already.

A database that was lost or set back learns from the service's own topics what it once published. Until those are
folded, a claim would repeat a request and a new version could be one that exists. The gate is closed at start, whenever
a position row of an own topic is found lower than this process has seen it, and opens when those rows have reached
where the topics ended at closing. A higher row only means that another replica was faster.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import positions
from shared.database import Database, is_transient

log = structlog.get_logger()

LOOK_AGAIN_S = 0.1
RETRY_AFTER_S = 1

Ends = Callable[[], Awaitable[Mapping[TopicPartition, int]]]


class GateClosed(Exception):
    """This service is still reading its own facts back; try again in a second."""


class Gate:
    """One per process. `ends` asks Kafka for the end offset of every partition of `own_topics`."""

    def __init__(self, database: Database, own_topics: Sequence[str], ends: Ends) -> None:
        self._database = database
        self._own_topics = own_topics
        self._ends = ends
        self._seen: dict[TopicPartition, int] = {}
        self._targets: Mapping[TopicPartition, int] | None = None
        self._open = asyncio.Event()
        self._closed = asyncio.Event()
        self._closed.set()

    @property
    def is_open(self) -> bool:
        """Whether reconcilers may act and versions may be given."""
        return self._open.is_set()

    async def wait_open(self) -> None:
        """Return once the gate is open."""
        await self._open.wait()

    def close(self, why: str) -> None:
        """Stop everything that acts until the own topics are read up to where they end now."""
        log.warning("gate closed", why=why)
        self._seen.clear()
        self._targets = None
        self._open.clear()
        self._closed.set()

    async def pass_through(self, connection: AsyncConnection) -> None:
        """Called first in every transaction that claims work or gives a version. Raises GateClosed."""
        if not self.is_open:
            raise GateClosed
        seen = dict(self._seen)
        rows = await positions.read(connection, self._own_topics)
        if any(rows.get(partition, 0) < offset for partition, offset in seen.items()):
            if self.is_open:
                self.close("a position is lower than it was: the database was set back, or a replay was asked for")
            raise GateClosed
        if self.is_open:
            self._remember(rows)

    async def keep(self) -> None:
        """Open the gate whenever its condition is met; runs until cancelled."""
        while True:
            await self._closed.wait()
            try:
                await self._try_to_open()
            except KafkaError as error:
                log.warning("gate waits for Kafka", error=type(error).__name__)
            except Exception as error:
                if not is_transient(error):
                    raise
                log.warning("gate waits for the database", error=type(error).__name__)
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _try_to_open(self) -> None:
        if self._targets is None:
            self._targets = await self._ends()
        async with self._database.transaction() as connection:
            rows = await positions.read(connection, self._own_topics)
        if all(rows.get(partition, 0) >= end for partition, end in self._targets.items()):
            self._remember(rows)
            self._closed.clear()
            self._open.set()
            log.info("gate open", own_topics=list(self._own_topics))

    def _remember(self, rows: Mapping[TopicPartition, int]) -> None:
        for partition, offset in rows.items():
            self._seen[partition] = max(offset, self._seen.get(partition, 0))
