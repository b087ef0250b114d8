"""Where a consumer stands in its topic: in Kafka, by the rows, and as it believes itself; it moves only if they agree.

A seek can overtake records that were already fetched, another owner can move the rows, and a database or a topic can
take the place of another: so a partition is folded only from where its row was last seen, and a look finds rows that
moved while nothing arrived. What is not known to be where it was is read again from its row.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import Topic
from shared import positions, replays
from shared.database import Database
from shared.gate import Gate, Offsets
from shared.own_records import OwnRecords
from shared.positions import Move

log = structlog.get_logger()

Batch = dict[TopicPartition, list[ConsumerRecord]]
ForgetHeard = Callable[[AsyncConnection], Awaitable[None]]


@dataclass(eq=False)
class Standing:
    """Of one topic in one process. `consumer` is None until the broker runs; `own` and `forget_heard`: see Fold."""

    topic: Topic
    database: Database
    gate: Gate
    own: bool
    forget_heard: ForgetHeard | None
    consumer: Callable[[], AIOKafkaConsumer | None]
    lag: dict[TopicPartition, int] = field(default_factory=dict)
    own_records: OwnRecords = field(default_factory=OwnRecords)
    _known: dict[TopicPartition, int] = field(default_factory=dict)
    _passed: dict[TopicPartition, int] = field(default_factory=dict)
    _replayed_until: dict[TopicPartition, int] = field(default_factory=dict)
    _failed_polls: int = 0

    @property
    def assigned(self) -> set[TopicPartition]:
        """Partitions that this process folds now."""
        consumer = self.consumer()
        return set(consumer.assignment()) if consumer else set()

    def leave(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget where they stood: whoever has them next reads the rows."""
        for partition in partitions:
            self._known.pop(partition, None)
            self.lag.pop(partition, None)
            self.own_records.forget(partition)

    def heed_own_records(self) -> None:
        """Let the consumer know own batches again as they come."""
        self._consumer().own_records = self.own_records

    async def moves(self, batch: Batch) -> list[Move]:
        """The partitions of the batch that continue what the rows say; the others were fetched before a seek.

        They are not known any more until `moved` says that the commit has happened.
        """
        self._forget_after_a_failed_poll()
        moves = []
        for partition, records in batch.items():
            known = self._known.get(partition)
            if known is None or partition not in self.assigned:
                continue
            position = await self._consumer().position(partition)
            if known <= records[0].offset and records[-1].offset < position:
                moves.append(Move(partition, known, position))
        self.doubt(move.partition for move in moves)
        return moves

    def moved(self, moves: Iterable[Move]) -> None:
        """These are committed."""
        ends = {move.partition: move.end for move in moves}
        self._known.update(ends)
        self.own_records.passed(ends)
        if self.own:
            self.gate.compare(ends, seen={})

    def doubt(self, partitions: Iterable[TopicPartition]) -> None:
        """Nobody knows where these stand now: they are not folded until their rows were read."""
        for partition in partitions:
            self._known.pop(partition, None)

    def replaying(self, moves: Iterable[Move]) -> bool:
        """Whether any of these reads what was asked to be read again."""
        return any(move.known < self._replayed_until.get(move.partition, 0) for move in moves)

    async def seek_to_rows(self, partitions: Iterable[TopicPartition]) -> None:
        """Read on where the rows say."""
        wanted = set(partitions) & self.assigned
        if not wanted:
            return
        self.doubt(wanted)
        seen = self.gate.seen()
        self._seek(await self._read_rows(wanted), seen)

    async def look(self) -> None:
        """Compare rows, topic ends and the consumer's own positions."""
        assigned = self.assigned
        if not assigned:
            self.lag = {}
            return
        self._forget_after_a_failed_poll()
        seen = self.gate.seen()
        rows = await self._read_rows(assigned)
        # Asked for after the rows: a row beyond an older end may just be another owner's progress.
        ends = await self._consumer().end_offsets(assigned)
        rows = await self._back_to_start(rows, ends)
        elsewhere = {partition: row for partition, row in rows.items() if self._known.get(partition) != row}
        self._seek(elsewhere, seen)
        self.lag = {partition: ends[partition] - row for partition, row in rows.items()}
        for partition in assigned - set(elsewhere):
            await self._pass_gap(partition)

    def _consumer(self) -> AIOKafkaConsumer:
        """It runs: it has an assignment, or has called us."""
        return self.consumer()

    def _forget_after_a_failed_poll(self) -> None:
        failed = getattr(self.consumer(), "failed_polls", 0)
        if failed != self._failed_polls:
            self._failed_polls = failed
            self._known.clear()

    async def _read_rows(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        async with self.database.transaction() as connection:
            rows = await positions.begin(connection, partitions)
            # After the rows: what moved them back may not be missed.
            self._replayed_until = await replays.running(connection, self.topic.name)
        return rows

    def _seek(self, rows: Offsets, seen: Offsets) -> None:
        if self.own:
            self.gate.compare(rows, seen=seen)
        for partition in set(rows) & self.assigned:
            self._consumer().seek(partition, rows[partition])
            self._known[partition] = rows[partition]
            self._passed.pop(partition, None)
            self.own_records.forget(partition)

    async def _back_to_start(self, rows: dict[TopicPartition, int], ends: Offsets) -> dict[TopicPartition, int]:
        """Rows beyond a topic's end are of a topic that was made anew: it is read from the start.

        So are those that stood beyond it before they were moved back for a replay: what was read there is not there.
        """
        stood = {partition: max(row, self._replayed_until.get(partition, 0)) for partition, row in rows.items()}
        beyond = {partition: row for partition, row in rows.items() if stood[partition] > ends[partition]}
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

        Seen twice at the same place with no batch in between: what a poll returned has long been given to the fold.
        """
        position = await self._consumer().position(partition)
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
