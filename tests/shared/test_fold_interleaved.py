"""What may come between a poll, its batch and a look, in an order that the test gives: a consumer that it scripts."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.raw_headers import joined
from shared.batch import Apply
from shared.database import Database
from shared.dead_letter_limit import DeadLetterLimit
from shared.fold import Fold
from shared.gate import Gate
from shared.producer import Outgoing
from shared.record import Record
from tests.shared.slow import Slow
from tests.shared.things import Things, a_record, fold_things

A_MOMENT_S = 0.05


async def test_batches_that_are_polled_while_a_gap_is_passed_are_not_skipped(things: Things) -> None:
    """0 and 1 of both partitions hold no records; 2 to 5 of one come in two polls, while a look moves the rows."""
    consumer = _Scripted({TopicPartition(things.topic.name, number): 0 for number in range(2)})
    first, second = consumer.assignment() - set()  # in the order in which a look goes through them
    async with _running(things, consumer) as (fold, database):
        consumer.positions = dict.fromkeys((first, second), 2)
        await fold._look()
        begun: list[None] = []
        receiving: list[asyncio.Task[None]] = []

        @asynccontextmanager
        async def meanwhile() -> AsyncIterator[AsyncConnection]:
            begun.append(None)
            # The first reads the rows; the second moves one over its gap, the third the other.
            if offsets := {2: (2, 3), 3: (4, 5)}.get(len(begun)):
                receiving.append(await _polled(fold, consumer, things, *offsets))
            async with transaction() as connection:
                yield connection

        transaction = database.transaction
        database.transaction = meanwhile  # type: ignore[assignment,method-assign]
        async with fold._busy:
            await fold._look()
        database.transaction = transaction  # type: ignore[method-assign]
        await _stored(fold, *receiving)

    assert (len(begun), len(receiving)) == (3, 2)
    row = (await things.positions())[first.partition]
    applied = {one["offset"] for one in await things.rows('select "offset" from applied')}
    assert {offset for offset in range(2, 6) if offset < row} <= applied


async def test_a_batch_that_was_polled_before_a_seek_is_not_stored(things: Things) -> None:
    """The rows may be where it begins all the same, and the topic another by then."""
    consumer = _Scripted({TopicPartition(things.topic.name, 0): 0})
    async with _running(things, consumer) as (fold, _):
        async with fold._busy:
            receiving = await _polled(fold, consumer, things, 0, 1)
            await fold._standing.seek_to_rows()
        await _stored(fold, receiving)
        assert not await things.applied()

        await _stored(fold, await _polled(fold, consumer, things, 0, 1))
    assert await things.applied() == 2


async def test_a_consumer_that_was_sought_while_a_batch_was_stored_is_sought_to_its_row(things: Things) -> None:
    """As by a rebalance, which reads the row before the batch is committed. Where all that lay before it is compacted
    away nothing comes from there, so no batch would say so."""
    consumer = _Scripted({TopicPartition(things.topic.name, 0): 0})
    slow = Slow()
    async with _running(things, consumer, apply=slow.apply) as (fold, _):
        receiving = await _polled(fold, consumer, things, 0, 1)
        await slow.began.wait()
        await fold.on_partitions_assigned(consumer.assignment())
        slow.may_go_on.set()
        await _stored(fold, receiving)
        consumer.sought.clear()

        await fold._look()

    assert consumer.sought == [2]


async def test_what_was_polled_of_a_partition_that_came_during_a_look_is_read_again(things: Things) -> None:
    """The look seeks what it knows of, which drops every batch that was polled before."""
    gone, came = (TopicPartition(things.topic.name, number) for number in range(2))
    consumer = _Scripted({gone: 0})
    async with _running(things, consumer) as (fold, _):
        async with fold._busy:
            consumer.may_tell_ends.clear()
            looking = asyncio.create_task(fold._look())
            await asyncio.sleep(A_MOMENT_S)
            await fold.on_partitions_revoked([gone])
            consumer.positions = {came: 0}
            await fold.on_partitions_assigned([came])
            receiving = await _polled(fold, consumer, things, 0, 1)
            consumer.may_tell_ends.set()
            await looking
        await _stored(fold, receiving)
        assert not await things.applied()

        await fold._look()

    assert consumer.positions == {came: 0}


async def test_what_was_polled_behind_a_batch_that_was_not_stored_is_sought_once(things: Things) -> None:
    """If each batch that is dropped were sought, what was polled after the one before had been would be lost again."""
    consumer = _Scripted({TopicPartition(things.topic.name, 0): 0})
    async with _running(things, consumer, apply=Slow(fails=True, waits=False).apply) as (fold, _):
        consumer.sought.clear()
        async with fold._busy:
            receiving = [await _polled(fold, consumer, things, 0, 1), await _polled(fold, consumer, things, 2, 3)]
        await asyncio.sleep(A_MOMENT_S)  # the first fails, and the second waits a moment before it is tried
        async with fold._busy:
            await asyncio.wait(receiving)
            receiving.append(await _polled(fold, consumer, things, 4, 5))
        await _stored(fold, *receiving)

        assert consumer.sought == [0]
        await _stored(fold, await _polled(fold, consumer, things, 0, 1))
    assert await things.applied() == 2


async def test_records_that_are_being_read_are_no_gap(things: Things) -> None:
    """To ask where a partition stands may wait, as while its offset is reset; a look each second does not."""
    first, waits = (TopicPartition(things.topic.name, number) for number in range(2))
    consumer = _Scripted({first: 0, waits: 0})
    async with _running(things, consumer) as (fold, _):
        consumer.positions = {first: 2, waits: 2}
        consumer.asked_in_vain = waits
        batch = {
            one: [_at(a_record(things.topic, "R1"), one, 0), _at(a_record(things.topic, "R2"), one, 1)]
            for one in (first, waits)
        }
        taking = asyncio.create_task(fold._take_in(batch))
        await asyncio.sleep(A_MOMENT_S)
        for _ in range(2):
            await fold._look()
        consumer.may_tell.set()
        await taking

    assert (await things.positions())[first.partition] == 0


@dataclass
class _Scripted:
    """A consumer whose positions the test moves. Each partition ends at 6, which it tells when it may. `sought`: where
    to, each time. `asked_in_vain`: where this one stands, once, is told only when it may."""

    positions: dict[TopicPartition, int]
    sought: list[int] = field(default_factory=list)
    may_tell_ends: asyncio.Event = field(default_factory=asyncio.Event)
    asked_in_vain: TopicPartition | None = None
    may_tell: asyncio.Event = field(default_factory=asyncio.Event)
    failed_polls: int = 0
    own_records: object = None

    def __post_init__(self) -> None:
        self.may_tell_ends.set()

    def assignment(self) -> set[TopicPartition]:
        return set(self.positions)

    async def position(self, partition: TopicPartition) -> int:
        if partition == self.asked_in_vain:
            self.asked_in_vain = None
            await self.may_tell.wait()
        return self.positions[partition]

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset
        self.sought.append(offset)

    async def end_offsets(self, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
        await self.may_tell_ends.wait()
        return dict.fromkeys(partitions, 6)


@asynccontextmanager
async def _running(
    things: Things, consumer: _Scripted, *, apply: Apply = fold_things
) -> AsyncIterator[tuple[Fold, Database]]:
    """A fold on that consumer, which has just got its partitions."""
    database = Database(things.url, pool_size=6)

    async def ends() -> dict[TopicPartition, int]:
        return {}

    limit = DeadLetterLimit(things.topic.name, percent=50)
    fold = Fold("test", things.topic, apply, database, Gate(database, [], ends), lambda _: None, 10, limit)
    fold._subscriber = SimpleNamespace(consumer=consumer)
    await fold.on_partitions_assigned(consumer.assignment())
    try:
        yield fold, database
    finally:
        await database.close()


async def _polled(fold: Fold, consumer: _Scripted, things: Things, *offsets: int) -> asyncio.Task[None]:
    """The consumer's first partition is polled, and these are read; they may wait for the batch before."""
    partition = next(iter(consumer.positions))
    consumer.positions[partition] = offsets[-1] + 1
    records = [_at(a_record(things.topic, f"at-{one}"), partition, one) for one in offsets]
    receiving = asyncio.create_task(fold._receive(cast("Any", SimpleNamespace(raw_message=records))))
    await asyncio.sleep(A_MOMENT_S)
    return receiving


async def _stored(fold: Fold, *receiving: asyncio.Task[None]) -> None:
    """All that was received is stored, or not."""
    await asyncio.gather(*receiving)
    assert fold._storing
    await fold._storing


def _at(sent: Outgoing, partition: TopicPartition, offset: int) -> Record:
    return Record(partition.topic, partition.partition, offset, 0, sent.key, sent.value, joined(sent.headers))
