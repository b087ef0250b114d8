"""Positions: how far this database has folded each partition, moved in the same transaction as what was folded.

Because rows and positions commit together they cannot disagree, whatever happens to either: not after a crash, not with
two owners of a partition, not in a database that was set back. Whoever moves a position must know where it stood;
somebody who does not is a zombie or looks at another database than before, and must read again.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.arrays import with_arrays
from shared.sql import text


@dataclass(frozen=True)
class Move:
    """Partition folded from where its row stood (`known`) up to `end`, the next offset to read."""

    partition: TopicPartition
    known: int
    end: int


async def read(connection: AsyncConnection, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """Next offset by partition; a partition without a row is not in the answer and stands at 0."""
    rows = await connection.execute(
        text("select topic, partition, next_offset from position where topic = any(:topics)"), {"topics": list(topics)}
    )
    return {TopicPartition(row.topic, row.partition): row.next_offset for row in rows}


async def begin(connection: AsyncConnection, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Next offset of exactly these partitions; one without a row gets it, at 0."""
    ordered = sorted(partitions)
    topics = {one.topic for one in ordered}
    stored = await read(connection, topics)
    missing = [one for one in ordered if one not in stored]
    if missing:
        await connection.execute(
            with_arrays("""
                insert into position (topic, partition, next_offset)
                select topic, partition, 0
                from unnest(cast(:topics as text[]), cast(:partitions as int[])) as u (topic, partition)
                order by topic, partition
                on conflict do nothing
            """),
            {"topics": [one.topic for one in missing], "partitions": [one.partition for one in missing]},
        )
        stored = await read(connection, topics)
    return {one: stored[one] for one in ordered}


async def move(connection: AsyncConnection, moves: Iterable[Move]) -> bool:
    """Compare and set every row. False: at least one stood elsewhere, so the caller must roll back and read again.

    None but the fold goes back, or stays, in a topic that was made anew: where a replay of the one before would have
    ended means nothing.
    """
    ordered = sorted(moves, key=lambda one: one.partition)
    moved = await connection.execute(
        with_arrays("""
            update position set next_offset = u.next_offset,
                replay_until = case when u.next_offset > u.known then replay_until end
            from unnest(cast(:topics as text[]), cast(:partitions as int[]),
                        cast(:known as bigint[]), cast(:ends as bigint[])) as u (topic, partition, known, next_offset)
            where position.topic = u.topic and position.partition = u.partition and position.next_offset = u.known
        """),
        {
            "topics": [one.partition.topic for one in ordered],
            "partitions": [one.partition.partition for one in ordered],
            "known": [one.known for one in ordered],
            "ends": [one.end for one in ordered],
        },
    )
    return moved.rowcount == len(ordered)


async def put(connection: AsyncConnection, offsets: Mapping[TopicPartition, int]) -> None:
    """Set rows without asking where they stood: a new Kafka, a replay."""
    for partition, next_offset in sorted(offsets.items()):
        await connection.execute(
            text("""
                insert into position (topic, partition, next_offset) values (:topic, :partition, :next_offset)
                on conflict (topic, partition) do update set next_offset = excluded.next_offset
            """),
            {"topic": partition.topic, "partition": partition.partition, "next_offset": next_offset},
        )


async def belong_to(connection: AsyncConnection, cluster_id: str) -> bool:
    """Tie this database to the Kafka of this id. True: it was another before, so now all its positions are at 0."""
    if await connection.scalar(text("select cluster_id from origin")) == cluster_id:
        return False
    before = await connection.scalar(text("select cluster_id from origin for update"))
    if before == cluster_id:
        return False
    await connection.execute(text("update origin set cluster_id = :cluster_id"), {"cluster_id": cluster_id})
    if before is None:
        return False
    await connection.execute(text("update position set next_offset = 0, replay_until = null"))
    return True
