"""The fold's consumer: reads one topic in batches and moves this database's positions with what it stores.

A batch is dropped unless it begins where this consumer knows the rows to be and ends where the consumer stands: a seek
can overtake records that were already fetched. When the positions do not move, another owner or an older database got
between; the transaction is rolled back and the consumer seeks to the rows, so rows and positions cannot disagree. A
look once a second finds rows that moved while nothing arrived. HTTP is never called here.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import Topic
from shared import positions, replays
from shared.batch import Apply, Folded, News, Place, count, fold_records
from shared.consumer import undecoded, without_headers
from shared.database import Database, is_refused, is_transient, notify
from shared.dead_letter_limit import Counted, DeadLetterLimit, Refused
from shared.gate import Gate, GateClosed, Offsets
from shared.own_records import OwnRecords, Skimmed
from shared.positions import Move
from shared.producer import Published

log = structlog.get_logger()

POLL_MS = 10  # FastStream sleeps as long after an empty poll, whatever arrives meanwhile
# Of each partition, so that all of a topic's fit into one answer (50 MB) and are read side by side; no more, because
# several topics are read ahead at once. A larger record comes all the same, by itself.
FETCH_BYTES = 1_000_000
SESSION_MS = 10_000
HEARTBEAT_MS = 2_000
RETRY_S = 0.5
STOPPED_RETRY_S = 30.0
LOOK_EVERY_S = 1.0
LOOK_TIMEOUT_S = 10.0
STALLED_S = 180.0
MOSTLY = 0.9

Batch = dict[TopicPartition, list[ConsumerRecord]]
ForgetHeard = Callable[[AsyncConnection], Awaitable[None]]


class Stalled(Exception):
    """Records are waiting and none was folded for minutes: the consumer hangs, and only a new process mends that."""


class _RowsElsewhere(Exception):
    """Another owner moved the positions, or the database is an older one."""


@dataclass(eq=False)
class Fold(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """One consumed topic of one service, in a consumer group of its own: topics never hold each other up.

    `news`: tells from key and order alone which facts are known already, so that the rest of them is not read. `own`:
    the service published these facts itself; they decide whether the gate may open, and `forget_heard` lets them be
    announced to a topic that was made anew. `needs_gate`: the topic's events are given versions, so they
    wait while the gate is closed.
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
    lag: dict[TopicPartition, int] = field(default_factory=dict)
    joined: bool = False
    _progress_at: float = field(default_factory=time.monotonic)
    _known: dict[TopicPartition, int] = field(default_factory=dict)
    _passed: dict[TopicPartition, int] = field(default_factory=dict)
    _own_records: OwnRecords = field(default_factory=OwnRecords)
    _replayed_until: dict[TopicPartition, int] = field(default_factory=dict)
    _failed_polls: int = 0
    _busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    _mostly_news: bool = False
    _error: Exception | None = None
    _subscriber: Any = None
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def subscribe(self, broker: KafkaBroker) -> None:
        """Register with FastStream. Every option that could lose a record is named; none is left to a default."""
        self._subscriber = broker.subscriber(
            self.topic.name,
            batch=True,
            group_id=f"ticketsync.{self.service}.{self.topic.name}",
            ack_policy=AckPolicy.MANUAL,
            auto_offset_reset="earliest",
            isolation_level="read_committed",
            batch_timeout_ms=POLL_MS,
            max_records=self.batch_records,
            max_partition_fetch_bytes=FETCH_BYTES,
            session_timeout_ms=SESSION_MS,
            heartbeat_interval_ms=HEARTBEAT_MS,
            listener=self,
            parser=without_headers,
            decoder=undecoded,
            no_reply=True,
        )
        self._subscriber(self._receive)

    @property
    def consumer(self) -> AIOKafkaConsumer | None:
        """The consumer under the subscriber, while the broker runs."""
        return self._subscriber.consumer if self._subscriber else None

    @property
    def assigned(self) -> set[TopicPartition]:
        """Partitions that this process folds now."""
        return set(self.consumer.assignment()) if self.consumer else set()

    def published(self, published: Published) -> None:
        """This process has published these records, from rows which know all that they say: none need be read."""
        if published.partition in self.assigned:
            self._own_records.add(published)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Forget where they stood: whoever has them next reads the rows."""
        for partition in revoked:
            self._known.pop(partition, None)
            self.lag.pop(partition, None)
            self._own_records.forget(partition)

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Start where the rows say."""
        self.joined = True
        try:
            await self._seek_to_rows(assigned)
        except Exception as error:
            if not (isinstance(error, KafkaError) or is_transient(error)):
                raise
            # A partition without a known row is never folded; the look once a second reads its row.
            log.warning("positions not read yet", topic=self.topic.name, error=type(error).__name__)

    async def watch(self) -> None:
        """Look once a second whether the rows are still where this consumer believes; runs until cancelled.

        Raises what is neither the network's nor the database's passing trouble, and Stalled.
        """
        try:
            await self._watch()
        finally:
            self._ended.set()

    async def _watch(self) -> None:
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
                if not (isinstance(error, KafkaError) or is_transient(error)):
                    raise
                self._progress_at = time.monotonic()  # nobody could fold now
            if time.monotonic() - self._progress_at > STALLED_S:
                waiting = sum(self.lag.values())
                raise Stalled(f"{self.topic.name}: {waiting} records wait, none folded in {STALLED_S:.0f} s")

    async def _receive(self, message: KafkaMessage) -> None:
        """Called by FastStream with one batch. What can be tried again is; what cannot ends the process in `watch`."""
        batch: Batch = defaultdict(list)
        for partition, records in groupby(message.raw_message, key=attrgetter("partition")):
            batch[TopicPartition(self.topic.name, partition)] += records
        async with self._busy:
            folded = await self._try_to_fold(batch)
        if not folded:
            with suppress(TimeoutError):
                async with asyncio.timeout(STOPPED_RETRY_S if self.limit.stopped else RETRY_S):
                    await self._ended.wait()

    async def _try_to_fold(self, batch: Batch) -> bool:
        """False: nothing of it is stored, and its partitions are read again from their rows."""
        try:
            if not await self._fold(batch):
                await self._seek_to_rows(batch)
        except GateClosed:
            log.debug("waiting for the gate", topic=self.topic.name)
        except Refused:
            log.error("topic stopped", topic=self.topic.name, why=self.limit.stopped)  # noqa: TRY400  # no defect here
        except Exception as error:  # noqa: BLE001  # `watch` raises it
            if not (isinstance(error, KafkaError) or is_transient(error)):
                self._error = error
            log.warning("batch not folded, will be read again", topic=self.topic.name, error=type(error).__name__)
        else:
            return True
        for partition in batch:
            self._known.pop(partition, None)
        return False

    async def _fold(self, batch: Batch) -> bool:
        """One transaction. False if the rows are not where this consumer knows them to be."""
        moves = await self._moves(batch)
        if not moves:
            return False
        for move in moves:
            del self._known[move.partition]  # until the commit is known to have happened
        waiting = [one for move in moves for one in self._own_records.sort_out(move.partition, batch[move.partition])]
        read = sum(len(batch[move.partition]) for move in moves)
        try:
            folded = await self._store_each(moves, waiting)
        except _RowsElsewhere:
            return False
        self.limit.passed(Counted(read, folded.put_aside))
        count(self.topic, folded, read=read)
        self._mostly_news = not self.own and folded.newer > read * MOSTLY
        ends = {move.partition: move.end for move in moves}
        self._known.update(ends)
        self._own_records.passed(ends)
        if self.own:
            self.gate.compare(ends, seen={})
        self._progress_at = time.monotonic()
        if not self.database.listens:  # else they are notified like those of all other processes, and once is enough
            for name in folded.wake:
                self.wake(name)
        return len(moves) == len(batch)

    async def _store_each(self, moves: list[Move], waiting: list[tuple[ConsumerRecord, Skimmed | None]]) -> Folded:
        """All at once; if the database refuses values, once more, halved until those stand alone."""
        records = [record for record, _ in waiting]
        said = {(record.partition, record.offset): says for record, says in waiting if says}
        try:
            return await self._store(moves, records, said, halve=False)
        except DBAPIError as error:
            if not is_refused(error):
                raise
        return await self._store(moves, records, said, halve=True)

    async def _store(
        self, moves: list[Move], records: list[ConsumerRecord], said: dict[Place, Skimmed], *, halve: bool
    ) -> Folded:
        async with self.database.transaction() as connection:
            if self.needs_gate:
                await self.gate.pass_through(connection)
            if not await positions.move(connection, moves):
                raise _RowsElsewhere
            # To ask which facts are known pays where some are: of those that follow news, hardly any.
            news = None if self._mostly_news else self.news
            folded = await fold_records(
                connection, topic=self.topic, records=records, apply=self.apply, news=news, said=said, halve=halve
            )
            if folded.refused:
                self.limit.judge(Counted(len(records), folded.put_aside), reason=folded.refused[0].reason)
            if any(move.known < self._replayed_until.get(move.partition, 0) for move in moves):
                await replays.count(connection, self.topic.name, folded, records=len(records))
            await notify(connection, folded.wake)
        return folded

    async def _moves(self, batch: Batch) -> list[Move]:
        """The partitions of the batch that continue what the rows say; the others were fetched before a seek."""
        self._forget_after_a_failed_poll()
        moves = []
        for partition, records in batch.items():
            known = self._known.get(partition)
            if known is None or partition not in self.assigned:
                continue
            position = await self.consumer.position(partition)  # type: ignore[union-attr]  # it runs: it called us
            if known <= records[0].offset and records[-1].offset < position:
                moves.append(Move(partition, known, position))
        return moves

    def _forget_after_a_failed_poll(self) -> None:
        failed = getattr(self.consumer, "failed_polls", 0)
        if failed != self._failed_polls:
            self._failed_polls = failed
            self._known.clear()

    async def _seek_to_rows(self, partitions: Iterable[TopicPartition]) -> None:
        wanted = set(partitions) & self.assigned
        if not wanted:
            return
        for partition in wanted:
            self._known.pop(partition, None)
        seen = self.gate.seen()
        async with self.database.transaction() as connection:
            rows = await positions.begin(connection, wanted)
            # After the rows: what moved them back may not be missed.
            self._replayed_until = await replays.running(connection, self.topic.name)
        self._seek(rows, seen)

    def _seek(self, rows: Offsets, seen: Offsets) -> None:
        if self.own:
            self.gate.compare(rows, seen=seen)
        for partition in set(rows) & self.assigned:
            self.consumer.seek(partition, rows[partition])  # type: ignore[union-attr]  # it has an assignment
            self._known[partition] = rows[partition]
            self._passed.pop(partition, None)
            self._own_records.forget(partition)

    async def _look(self) -> None:
        """Compare rows, topic ends and the consumer's own positions."""
        assigned = self.assigned
        if not assigned:
            self.lag, self.limit.stopped = {}, None
            return
        self._forget_after_a_failed_poll()
        seen = self.gate.seen()
        async with self.database.transaction() as connection:
            rows = await positions.begin(connection, assigned)
            self._replayed_until = await replays.running(connection, self.topic.name)
        # Asked for after the rows: a row beyond an older end may just be another owner's progress.
        ends = await self.consumer.end_offsets(assigned)  # type: ignore[union-attr]  # it has an assignment
        rows = await self._back_to_start(rows, ends)
        moved = {partition: row for partition, row in rows.items() if self._known.get(partition) != row}
        self._seek(moved, seen)
        self.lag = {partition: ends[partition] - row for partition, row in rows.items()}
        if not any(self.lag.values()):
            self.limit.stopped = None  # what was not read on is another process's now, or was skipped by a person
        for partition in assigned - set(moved):
            await self._pass_gap(partition)

    async def _back_to_start(self, rows: dict[TopicPartition, int], ends: Offsets) -> dict[TopicPartition, int]:
        """Rows beyond a topic's end are of a topic that was made anew: it is read from the start."""
        beyond = {partition: row for partition, row in rows.items() if row > ends[partition]}
        if not beyond:
            return rows
        async with self.database.transaction() as connection:
            moved = await positions.move(connection, [Move(partition, row, 0) for partition, row in beyond.items()])
            if moved and self.forget_heard:
                await self.forget_heard(connection)
        log.error("topic is shorter than what was read of it", topic=self.topic.name, read_from_the_start=moved)
        return {**rows, **dict.fromkeys(beyond, 0)} if moved else rows

    async def _pass_gap(self, partition: TopicPartition) -> None:
        """Move the row over offsets that hold no records, such as the end marker of a transaction.

        Seen twice at the same place with no batch in between: what a poll returned has long been given to `_receive`.
        """
        position = await self.consumer.position(partition)  # type: ignore[union-attr]  # it has an assignment
        known = self._known.get(partition)
        if known is None or position <= known:
            return
        if self._passed.get(partition) != position:
            self._passed[partition] = position
            return
        async with self.database.transaction() as connection:
            moved = await positions.move(connection, [Move(partition, known, position)])
        if moved:
            self._known[partition] = position
