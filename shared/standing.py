"""Where a consumer stands in its topic: in Kafka, by the rows, and as it believes itself; it moves only if they agree.

A seek can overtake records that were already fetched, another owner can move the rows, and a database or a topic can
take the place of another: so a partition is folded only from where its row was last seen, and a look finds rows that
moved while nothing arrived. What is not known to be where it was is read again from its row.

A batch is read while the one before is stored. What it moves is written down as it is polled, each batch from where the
one before it ended, so that none can be stored if one before it was not. A batch is stored or dropped whole, and every
seek is one of all partitions (what was assigned while the rows were read is left to the next look), once for all that
was polled before: to drop a part of a batch, to seek one partition alone, or to seek for each dropped batch would make
the next one lack something, and so on without an end.
"""

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import Topic
from shared import positions, replays
from shared.database import Database
from shared.gate import Gate, Offsets
from shared.own_records import OwnRecords
from shared.positions import Move
from shared.record import Record

log = structlog.get_logger()

Batch = dict[TopicPartition, list[Record]]


class Polled(NamedTuple):
    """What a batch moves, all of its partitions or none, and how often the consumer had been sought by then."""

    moves: list[Move]
    seeks: int


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
    _read_to: dict[TopicPartition, int] = field(default_factory=dict)
    _seeks: int = 0
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
        self.doubt(gone := list(partitions))
        for partition in gone:
            self.lag.pop(partition, None)
            self.own_records.forget(partition)

    def heed_own_records(self) -> None:
        """Let the consumer know own batches again as they come."""
        self._consumer().own_records = self.own_records

    async def polled(self, batch: Batch) -> Polled:
        """What a batch that was just polled moves: from where its partitions had been read to where they stand now.

        Nothing, if any of them was fetched before a seek.
        """
        self._forget_after_a_failed_poll()
        seeks = self._seeks
        # Taken at once: to ask where a partition stands may wait, and a look would take these records for a gap.
        begins = {partition: self._read_to.pop(partition, None) for partition in batch}
        moves = []
        for partition, records in batch.items():
            begin = begins[partition]
            if begin is None or partition not in self.assigned:
                break
            end = await self._consumer().position(partition)
            if not (begin <= records[0].offset and records[-1].offset < end):
                break
            moves.append(Move(partition, begin, end))
        if len(moves) < len(batch):
            moves = []
            self.doubt(batch)
        if seeks == self._seeks:
            self._read_to.update({move.partition: move.end for move in moves})
        return Polled(moves, seeks)

    def continue_with(self, polled: Polled) -> bool:
        """Whether what it moves begins where the rows are known to be, and nothing was sought since it was polled.

        If so, these are not known any more until `moved` says that the commit has happened.
        """
        if polled.seeks != self._seeks:
            return False  # the topic may have been made anew since
        assigned = self.assigned
        if any(one.partition not in assigned or self._known.get(one.partition) != one.known for one in polled.moves):
            return False
        for one in polled.moves:
            del self._known[one.partition]
        return bool(polled.moves)

    async def read_again(self, polled: Polled) -> None:
        """A batch was not stored: read on from the rows, unless that was done since it was polled."""
        if polled.seeks == self._seeks:
            await self.seek_to_rows()

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
            self._read_to.pop(partition, None)

    def replaying(self, moves: Iterable[Move]) -> bool:
        """Whether any of these reads what was asked to be read again."""
        return any(move.known < self._replayed_until.get(move.partition, 0) for move in moves)

    async def seek_to_rows(self) -> None:
        """Read on where the rows say: all partitions, as what was polled of any before is not stored any more."""
        wanted = self.assigned
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
        # Polled up to less than the row: sought while a batch was stored.
        elsewhere = {
            partition: row
            for partition, row in rows.items()
            if self._known.get(partition) != row or self._read_to.get(partition, -1) < row
        }
        if elsewhere:
            self._seek(rows, seen)
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
            self._read_to.clear()

    async def _read_rows(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        async with self.database.transaction() as connection:
            rows = await positions.begin(connection, partitions)
            # After the rows: what moved them back may not be missed.
            self._replayed_until = await replays.running(connection, self.topic.name)
        return rows

    def _seek(self, rows: Offsets, seen: Offsets) -> None:
        self._seeks += 1
        # Assigned while the rows were read: what was polled of these is dropped as well, so a look has to seek them.
        self.doubt(self.assigned - set(rows))
        if self.own:
            self.gate.compare(rows, seen=seen)
        for partition in set(rows) & self.assigned:
            self._consumer().seek(partition, rows[partition])
            self._known[partition] = self._read_to[partition] = rows[partition]
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

        Seen twice at the same place with no batch in between: what a poll returned has long been given to the fold. A
        batch that comes while the row is moved begins before the gap, so it is read again from behind it.
        """
        position = await self._consumer().position(partition)
        known = self._known.get(partition)
        if known is None or position <= known or known != self._read_to.get(partition):
            return
        if self._passed.get(partition) != position:
            self._passed[partition] = position
            return
        async with self.database.transaction() as connection:
            moved = await positions.move(connection, [Move(partition, known, position)])
        if moved and self._read_to.get(partition) == known:
            self._known[partition] = self._read_to[partition] = position
        else:
            self.doubt((partition,))
