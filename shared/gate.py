"""The gate: nothing acts and nothing gets a version before this database knows what had been done already.

A database that was lost or set back learns from the service's own topics what it once published. Until those are
folded, a claim would repeat a request and a new version could be one that exists. The gate is closed at start, whenever
a position row of an own topic is found lower than this process has seen it, and opens when those rows have reached
where the topics ended at closing. A higher row only means that another replica was faster. Work that needs other topics
read first, such as uploading a lost folder again with all of its recordings, has a gate of its own on those.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence

import structlog
from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import positions
from shared.database import Database
from shared.passing import is_passing

log = structlog.get_logger()

LOOK_AGAIN_S = 0.1
AFTER_FAILURE_S = 1.0
ASK_AGAIN_S = 1.0
RETRY_AFTER_S = 1

Offsets = Mapping[TopicPartition, int]
Ends = Callable[[], Awaitable[Offsets]]


class GateClosed(Exception):
    """This service is still reading its own facts back; try again in a second."""


class Gate:
    """`ends` asks Kafka for the end offset of every partition of `topics`."""

    def __init__(self, database: Database, topics: Sequence[str], ends: Ends) -> None:
        self._database = database
        self.topics = topics
        self._ends = ends
        self._seen: dict[TopicPartition, int] = {}
        self._targets: Offsets | None = None
        self._asked_at = 0.0
        self._closings = 0
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
        self._closings += 1
        self._open.clear()
        self._closed.set()

    def seen(self) -> Offsets:
        """How far this process has seen the rows of the own topics; taken before rows are read, for `compare`."""
        return dict(self._seen)

    def compare(self, rows: Offsets, *, seen: Offsets) -> None:
        """Heed rows that were read after `seen` was taken: a lower one closes the gate, a higher one is remembered."""
        if any(offset < seen.get(partition, 0) for partition, offset in rows.items()):
            self.close("a position is lower than it was: the database was set back, or a replay was asked for")
            return
        for partition, offset in rows.items():
            self._seen[partition] = max(offset, self._seen.get(partition, 0))

    async def pass_through(self, connection: AsyncConnection) -> None:
        """Called first in every transaction that claims work or gives a version. Raises GateClosed."""
        if not self.is_open:
            raise GateClosed
        seen, closings = self.seen(), self._closings
        rows = await positions.read(connection, self.topics)
        if closings == self._closings:
            self.compare({**dict.fromkeys(seen, 0), **rows}, seen=seen)
        if not self.is_open or closings != self._closings:
            raise GateClosed

    async def keep(self) -> None:
        """Open the gate whenever its condition is met; runs until cancelled."""
        while True:
            await self._closed.wait()
            wait_s = LOOK_AGAIN_S
            try:
                await self._try_to_open()
            except Exception as error:
                if not is_passing(error):
                    raise
                log.warning("gate waits for Kafka and the database", error=type(error).__name__)
                wait_s = AFTER_FAILURE_S
            await asyncio.sleep(wait_s)

    async def _try_to_open(self) -> None:
        closings = self._closings
        if self._targets is None:
            before = await self._rows()
            targets = await self._ask()
            if any(before.get(partition, 0) > end for partition, end in targets.items()):
                # Rows of another Kafka, or of a topic that was made anew: they say nothing about this one. The fold
                # sets them back, and then they count.
                return
            if closings == self._closings:
                self._targets = targets
        rows = await self._rows()
        # It may have been closed again meanwhile, by rows that this look has not seen.
        if closings != self._closings or self._targets is None:
            return
        if all(rows.get(partition, 0) >= end for partition, end in self._targets.items()):
            self.compare(rows, seen={})
            self._closed.clear()
            self._open.set()
            log.info("gate open", topics=list(self.topics))
        elif time.monotonic() - self._asked_at >= ASK_AGAIN_S:
            targets, ends = self._targets, await self._ask()
            # A topic that was made anew since may never get as far as the one before it.
            if closings == self._closings and any(end > ends.get(partition, 0) for partition, end in targets.items()):
                self._targets = None

    async def _ask(self) -> Offsets:
        self._asked_at = time.monotonic()
        return await self._ends()

    async def _rows(self) -> Offsets:
        async with self._database.transaction() as connection:
            return await positions.read(connection, self.topics)
