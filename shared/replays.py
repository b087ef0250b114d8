"""Replays: a topic's position rows are moved back, and what is folded until they are where they were is counted.

The fold finds that rows moved, seeks and reads on from there (shared/standing.py); nothing else has to be told. A row
says by `replay_until` where it stood; while it is behind that, what is folded counts as part of the replay, by whatever
process. Facts that came meanwhile are counted with the batch in which they came. A row is never moved forward, and a
topic has one replay at a time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.batch import Folded
from shared.sql import text


@dataclass(frozen=True)
class Stretch:
    """The offsets of one partition that are read once more: from `start` up to where the service stands."""

    partition: int
    start: int
    until: int

    @property
    def offsets(self) -> int:
        """How many offsets that are: as many records at most, fewer if some have been compacted away."""
        return self.until - self.start


@dataclass(frozen=True)
class Replay:
    """The newest replay of a topic. `to_read` is in offsets, `left` how many of them are still to come."""

    topic: str
    asked_by: str | None
    asked_at: datetime
    to_read: int
    left: int
    read: int
    newer: int
    unchanged: int
    bad: int
    empty: int


async def plan(connection: AsyncConnection, topic: str, starts: Mapping[int, int]) -> Sequence[Stretch]:
    """What a replay from these offsets (by partition) would read; the rows are locked. A partition that stands no
    further is left out.
    """
    rows = await connection.execute(
        text("""
            select partition, next_offset from position
            where topic = :topic and partition = any(:partitions) order by partition for update
        """),
        {"topic": topic, "partitions": list(starts)},
    )
    stretches = [Stretch(row.partition, starts[row.partition], row.next_offset) for row in rows]
    return [one for one in stretches if one.start < one.until]


async def begin(connection: AsyncConnection, topic: str, stretches: Sequence[Stretch], *, asked_by: str | None) -> None:
    """Move the rows back; they are locked since `plan`."""
    await connection.execute(
        text("""
            update position set next_offset = u.start, replay_until = position.next_offset
            from unnest(cast(:partitions as int[]), cast(:starts as bigint[])) as u (partition, start)
            where position.topic = :topic and position.partition = u.partition and u.start < position.next_offset
        """),
        {
            "topic": topic,
            "partitions": [one.partition for one in stretches],
            "starts": [one.start for one in stretches],
        },
    )
    await connection.execute(
        text("""
            insert into replay (topic, asked_by, asked_at, to_read, read, newer, unchanged, bad, empty)
            values (:topic, :asked_by, now(), :to_read, 0, 0, 0, 0, 0)
            on conflict (topic) do update set
                asked_by = excluded.asked_by, asked_at = excluded.asked_at, to_read = excluded.to_read,
                read = 0, newer = 0, unchanged = 0, bad = 0, empty = 0
        """),
        {"topic": topic, "asked_by": asked_by, "to_read": sum(one.offsets for one in stretches)},
    )


async def running(connection: AsyncConnection, topic: str) -> dict[TopicPartition, int]:
    """Where the replay of each partition ends that is still behind."""
    rows = await connection.execute(
        text("select partition, replay_until from position where topic = :topic and next_offset < replay_until"),
        {"topic": topic},
    )
    return {TopicPartition(topic, row.partition): row.replay_until for row in rows}


async def count(connection: AsyncConnection, topic: str, folded: Folded, *, records: int) -> None:
    """Add a batch, in the transaction that folds it."""
    bad = len(folded.refused)
    await connection.execute(
        text("""
            update replay set read = read + :read, newer = newer + :newer, bad = bad + :bad, empty = empty + :empty,
                unchanged = unchanged + :unchanged
            where topic = :topic
        """),
        {
            "topic": topic,
            "read": records,
            "newer": folded.newer,
            "bad": bad,
            "empty": folded.empty,
            "unchanged": max(records - folded.newer - bad - folded.empty, 0),
        },
    )


async def newest(connection: AsyncConnection, topics: Sequence[str]) -> list[Replay]:
    """The newest replay of each of these topics that had one."""
    rows = await connection.execute(
        text("""
            select topic, asked_by, asked_at, to_read,
                cast((select coalesce(sum(greatest(p.replay_until - p.next_offset, 0)), 0) from position p
                      where p.topic = replay.topic) as bigint) as left,
                read, newer, unchanged, bad, empty
            from replay where topic = any(:topics) order by topic
        """),
        {"topics": list(topics)},
    )
    return [Replay(*row) for row in rows]
