"""The rules of the plumbing's tables, over the model: positions, replays, leases, dead letters.

Stands for the SQL of shared/positions.py, shared/replays.py, shared/lease.py and shared/dead_letters.py; tests hold
both to the same on PostgreSQL.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import dead_letters
from shared.batch import Folded
from shared.dead_letters import MAX_ERROR_LENGTH, DeadLetter, Unpublished
from shared.positions import Move
from tests.simulation.database import DeadLetterRow, Tables, now_of, tables_of


async def read(connection: AsyncConnection, topics: Iterable[str]) -> dict[TopicPartition, int]:
    """shared.positions.read."""
    wanted = set(topics)
    stored = tables_of(connection, Tables).position
    return {TopicPartition(*place): offset for place, offset in stored.items() if place[0] in wanted}


async def begin(connection: AsyncConnection, partitions: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """shared.positions.begin."""
    stored = tables_of(connection, Tables).position
    return {one: stored.setdefault((one.topic, one.partition), 0) for one in sorted(partitions)}


async def move(connection: AsyncConnection, moves: Iterable[Move]) -> bool:
    """shared.positions.move."""
    stored = tables_of(connection, Tables).position
    moved = True
    for one in moves:
        place = (one.partition.topic, one.partition.partition)
        if stored.get(place) == one.known:
            stored[place] = one.end
            if one.end <= one.known:
                tables_of(connection, Tables).replay_until.pop(place, None)
        else:
            moved = False
    return moved


async def put(connection: AsyncConnection, offsets: Mapping[TopicPartition, int]) -> None:
    """shared.positions.put."""
    tables_of(connection, Tables).position.update({(one.topic, one.partition): at for one, at in offsets.items()})


async def running(connection: AsyncConnection, topic: str) -> dict[TopicPartition, int]:
    """shared.replays.running."""
    tables = tables_of(connection, Tables)
    return {
        TopicPartition(*place): until
        for place, until in tables.replay_until.items()
        if place[0] == topic and tables.position.get(place, 0) < until
    }


async def count(connection: AsyncConnection, topic: str, folded: Folded, *, records: int) -> None:
    """shared.replays.count."""
    replayed = tables_of(connection, Tables).replay
    read, newer, bad = replayed[topic]
    replayed[topic] = (read + records, newer + folded.newer, bad + len(folded.refused))


def replay(tables: Tables, topic: str, starts: Mapping[int, int]) -> bool:
    """shared.replays.plan and begin: rows go back, never forward. False: there is nothing to read again."""
    back = {(topic, one): start for one, start in starts.items() if start < tables.position.get((topic, one), 0)}
    if not back or any(tables.position.get(place, 0) < until for place, until in tables.replay_until.items()):
        return False
    tables.replay_until.update({place: tables.position[place] for place in back})
    tables.position.update(back)
    tables.replay[topic] = (0, 0, 0)
    return True


async def take(connection: AsyncConnection, name: str, token: UUID, *, seconds: float) -> bool:
    """shared.lease.take."""
    leases, now = tables_of(connection, Tables).lease, now_of(connection)
    held = leases.get(name)
    if held and held[0] != token and held[1] >= now:
        return False
    leases[name] = (token, now + timedelta(seconds=seconds))
    return True


async def give_back(connection: AsyncConnection, name: str, token: UUID) -> None:
    """shared.lease.give_back."""
    leases = tables_of(connection, Tables).lease
    if name in leases and leases[name][0] == token:
        del leases[name]


async def keep(connection: AsyncConnection, letters: Sequence[DeadLetter]) -> int:
    """shared.dead_letters.keep."""
    rows = tables_of(connection, Tables).dead_letter
    before = len(rows)
    for letter in letters:
        record = letter.record
        place = (record.topic, record.partition, record.offset, dead_letters._content(record))
        rows.setdefault(
            place,
            DeadLetterRow(
                *place,
                record.key,
                record.value,
                letter.reason,
                letter.error[:MAX_ERROR_LENGTH],
                now_of(connection),
                None,
            ),
        )
    return len(rows) - before


async def unpublished(connection: AsyncConnection, *, limit: int) -> list[Unpublished]:
    """shared.dead_letters.unpublished."""
    rows = [one for one in tables_of(connection, Tables).dead_letter.values() if one.published_at is None]
    rows.sort(key=lambda one: (one.failed_at, one.topic, one.partition, one.offset))
    return [Unpublished(*one[:9]) for one in rows[:limit]]


async def mark_published(connection: AsyncConnection, letters: Sequence[Unpublished]) -> None:
    """shared.dead_letters.mark_published."""
    rows = tables_of(connection, Tables).dead_letter
    for one in letters:
        place = (one.topic, one.partition, one.offset, one.content)
        if place in rows:
            rows[place] = rows[place]._replace(published_at=now_of(connection))


async def forget_published(connection: AsyncConnection) -> None:
    """shared.dead_letters.forget_published; nobody settles any here."""
    rows = tables_of(connection, Tables).dead_letter
    for place, one in rows.items():
        rows[place] = one._replace(published_at=None)
