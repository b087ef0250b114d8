"""The fold's consumer: reads one topic in batches and moves this database's positions with what it stores.

A batch is read while the one before is stored. It is dropped unless it ended where the consumer stood when it was
polled, and begins where the rows are known to be when it is stored (see shared/standing.py). When the positions do not
move, another owner or an older database got between; the transaction is rolled back and the consumer seeks to the rows,
so rows and positions cannot disagree. HTTP is never called here.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from faststream.kafka import KafkaBroker, KafkaMessage
from sqlalchemy.exc import DBAPIError

from schemas.topics import Topic
from shared import positions, replays
from shared.batch import Apply, Folded, News, count, fold_records
from shared.cancelling import cancelled
from shared.consumer import subscriber
from shared.database import Database, is_refused, notify
from shared.dead_letter_limit import Counted, DeadLetterLimit, Refused
from shared.gate import Gate, GateClosed
from shared.own_records import in_full
from shared.passing import is_passing
from shared.positions import Move
from shared.producer import Published
from shared.reading import NotAsPublished, Read, read
from shared.record import Record
from shared.standing import Batch, ForgetHeard, Polled, Standing

log = structlog.get_logger()

RETRY_S = 0.5
STOPPED_RETRY_S = 30.0
LOOK_EVERY_S = 1.0
LOOK_TIMEOUT_S = 10.0
STALLED_S = 180.0
MOSTLY = 0.9


class Stalled(Exception):
    """Records are waiting and none was folded for minutes: the consumer hangs, and only a new process mends that."""


class _RowsElsewhere(Exception):
    """Another owner moved the positions, or the database is an older one."""


@dataclass(frozen=True)
class Received:
    """A batch as it was polled, the records of what it moves, and what was read of them."""

    polled: Polled
    records: list[Record]
    read: Read


@dataclass(eq=False)
class Fold(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One consumed topic of one service, in a consumer group of its own: topics never hold each other up.

    `news`: tells from key and order alone which facts are known already, so that the rest of them is not read. `own`:
    the service published these facts itself; they decide whether the gate may open, and `forget_heard` lets them be
    announced to a topic that was made anew. `needs_gate`: the topic's events are given versions, so they wait while the
    gate is closed. `after`: each batch waits for this event, because something else is more urgent.
    """

    service: str
    topic: Topic
    apply: Apply
    database: Database
    gate: Gate
    wake: Callable[[str], None]
    batch_records: int
    limit: DeadLetterLimit
    news: News | None = None
    own: bool = False
    forget_heard: ForgetHeard | None = None
    needs_gate: bool = False
    after: asyncio.Event | None = None
    joined: bool = False
    _progress_at: float = field(default_factory=time.monotonic)
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    _mostly_news: bool = False
    _error: Exception | None = None
    _subscriber: Any = None
    _storing: asyncio.Task[None] | None = None
    _ended: bool = False

    def __post_init__(self) -> None:
        self._standing = Standing(
            self.topic, self.database, self.gate, self.own, self.forget_heard, consumer=lambda: self.consumer
        )

    def subscribe(self, broker: KafkaBroker) -> None:
        """Register with FastStream."""
        group = f"ticketsync.{self.service}.{self.topic.name}"
        self._subscriber = subscriber(broker, self.topic.name, group, listener=self, batch_records=self.batch_records)
        self._subscriber(self._receive)

    @property
    def consumer(self) -> AIOKafkaConsumer | None:
        """The consumer under the subscriber, while the broker runs."""
        return self._subscriber.consumer if self._subscriber else None

    @property
    def assigned(self) -> set[TopicPartition]:
        """Partitions that this process folds now."""
        return self._standing.assigned

    @property
    def lag(self) -> Mapping[TopicPartition, int]:
        """How many records of each of them wait, as of the last look."""
        return self._standing.lag

    def published(self, published: Published) -> None:
        """This process has published these records, from rows which know all that they say: none need be read."""
        if published.partition in self.assigned:
            self._standing.own_records.add(published)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Forget where they stood: whoever has them next reads the rows."""
        self._standing.leave(revoked)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:  # noqa: ARG002  # all are sought
        """Start where the rows say."""
        self._standing.heed_own_records()
        try:
            await self._standing.seek_to_rows()
        except Exception as error:
            if not is_passing(error):
                raise
            # A partition without a known row is never folded; the look once a second reads its row.
            log.warning("positions not read yet", topic=self.topic.name, error=type(error).__name__)
        self.joined = True

    async def watch(self) -> None:
        """Look once a second whether the rows are still where this consumer believes; runs until cancelled.

        Raises what is neither the network's nor the database's passing trouble, and Stalled.
        """
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._error:
                raise self._error
            try:
                # The lock is waited for within the limit: a batch that hangs holds it.
                async with asyncio.timeout(LOOK_TIMEOUT_S), self._busy:
                    await self._look()
                    waits = (self.needs_gate and not self.gate.is_open) or self.limit.stopped
                    if waits or sum(self.lag.values()) == 0:
                        self._progress_at = time.monotonic()
            except TimeoutError:
                pass
            except Exception as error:
                if not is_passing(error):
                    raise
                self._progress_at = time.monotonic()  # nobody could fold now
            if time.monotonic() - self._progress_at > STALLED_S:
                waiting = sum(self.lag.values())
                raise Stalled(f"{self.topic.name}: {waiting} records wait, none folded in {STALLED_S:.0f} s")

    async def stop(self) -> None:
        """Store nothing more: what is not committed is the next process's. To be called before the broker stops."""
        self._ended = True
        if self._storing:
            await cancelled([self._storing])

    async def _look(self) -> None:
        await self._standing.look()
        if not any(self.lag.values()):
            self.limit.stopped = None  # what was not read on is another process's now, or was skipped by a person

    async def _receive(self, message: KafkaMessage) -> None:
        """Called by FastStream with one batch, which is read while the one before is stored.

        What can be tried again is; what cannot ends the process in `watch`.
        """
        batch: Batch = defaultdict(list)
        for partition, records in groupby(message.raw_message, key=attrgetter("partition")):
            batch[TopicPartition(self.topic.name, partition)] += records
        try:
            received = await self._take_in(batch)
        except Exception as error:  # noqa: BLE001  # `watch` raises it
            self._say(error)
            self._standing.doubt(batch)  # the next look seeks to the rows
            await asyncio.sleep(RETRY_S)
            return
        if self._storing:
            await asyncio.wait({self._storing})
        if not self._ended:
            self._storing = asyncio.create_task(self._store_or_wait(received))

    async def _take_in(self, batch: Batch) -> Received:
        polled = await self._standing.polled(batch)
        records = [record for move in polled.moves for record in batch[move.partition]]
        # To ask which facts are known pays where some are: of those that follow news, hardly any.
        skimmed = self.news is not None and not self._mostly_news
        return Received(polled, records, await read(self.topic, records, skimmed=skimmed))

    async def _store_or_wait(self, received: Received) -> None:
        if self.after:
            await self.after.wait()
        async with self._busy:
            goes_on = await self._try_to_fold(received)
        if not goes_on:
            await asyncio.sleep(STOPPED_RETRY_S if self.limit.stopped else RETRY_S)

    async def _try_to_fold(self, received: Received) -> bool:
        """Stored, or read again from the rows, which others have moved. False: it is not to be tried again at once."""
        try:
            if not await self._fold(received):
                await self._standing.read_again(received.polled)
        except GateClosed:
            log.debug("waiting for the gate", topic=self.topic.name)
        except Refused:
            log.error("topic stopped", topic=self.topic.name, why=self.limit.stopped)  # noqa: TRY400  # no defect here
        except Exception as error:  # noqa: BLE001  # `watch` raises it
            self._say(error)
        else:
            return True
        self._standing.doubt(move.partition for move in received.polled.moves)
        return False

    def _say(self, error: Exception) -> None:
        """What is neither Kafka's nor the database's passing trouble is a defect, for `watch` to raise."""
        if not is_passing(error):
            self._error = error
        log.warning("batch not folded, will be read again", topic=self.topic.name, error=type(error).__name__)

    async def _fold(self, received: Received) -> bool:
        """One transaction. False if the rows are not where this consumer knows them to be."""
        moves = received.polled.moves
        if not self._standing.continue_with(received.polled):
            return False
        try:
            folded = await self._store_each(received)
        except _RowsElsewhere:
            return False
        number = received.read.number
        self.limit.passed(Counted(number, folded.put_aside))
        count(self.topic, folded, read=number)
        self._mostly_news = not self.own and folded.newer > number * MOSTLY
        self._standing.moved(moves)
        self._progress_at = time.monotonic()
        if not self.database.listens:  # else they are notified like those of all other processes, and once is enough
            for name in folded.wake:
                self.wake(name)
        return True

    async def _store_each(self, received: Received) -> Folded:
        """All at once, and own batches unread. If the rows do not know what those say, once more, read; if the database
        refuses values, once more, halved until those stand alone.
        """
        with suppress(NotAsPublished):
            return await self._store_all(received.polled.moves, received.read)
        batch = await read(self.topic, in_full(received.records), skimmed=True)
        return await self._store_all(received.polled.moves, batch)

    async def _store_all(self, moves: list[Move], batch: Read) -> Folded:
        try:
            return await self._store(moves, batch, halve=False)
        except DBAPIError as error:
            if not is_refused(error):
                raise
        return await self._store(moves, batch, halve=True)

    async def _store(self, moves: list[Move], batch: Read, *, halve: bool) -> Folded:
        async with self.database.transaction() as connection:
            if self.needs_gate:
                await self.gate.pass_through(connection)
            if not await positions.move(connection, moves):
                raise _RowsElsewhere
            folded = await fold_records(connection, batch, apply=self.apply, news=self.news, halve=halve)
            if folded.refused:
                self.limit.judge(Counted(batch.number, folded.put_aside), reason=folded.refused[0].reason)
            if self._standing.replaying(moves):
                await replays.count(connection, self.topic.name, folded, records=batch.number)
            await notify(connection, folded.wake)
        return folded
