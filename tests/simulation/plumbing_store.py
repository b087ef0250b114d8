"""The rules of the plumbing's tables, over the model: positions, replays, leases, dead letters, the lane.

Stands for the SQL of shared/positions.py, shared/replays.py, shared/lease.py, shared/dead_letters.py and
shared/lane.py; tests hold both to the same on PostgreSQL.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from uuid import UUID

from aiokafka import TopicPartition
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import dead_letters
from shared.batch import Folded
from shared.dead_letters import MAX_ERROR_LENGTH, DeadLetter, Unpublished
from shared.lane import (
    PACED_AFTER,
    PACED_AT_LEAST_EVERY_S,
    PACED_FIRST,
    PACED_LAST,
    REFUSED,
    Freed,
    Lane,
)
from shared.lane_state import PROBE_S, LaneState
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
            if one.end < one.known:
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


@dataclasses.dataclass(frozen=True)
class ModelLane(Lane):
    """shared.lane.Lane with its statements over the model; what it decides is its own."""

    async def look(self, connection: AsyncConnection) -> LaneState:
        row, now = tables_of(connection, Tables).lane["one"], now_of(connection)
        due = row.probe_at is not None and row.probe_at <= now
        return LaneState(
            row.reason,
            row.message,
            row.probe_at,
            due,
            row.failures,
            frozenset(row.capabilities),
            row.reason,
            row.allowance,
        )

    async def _take_probe(self, connection: AsyncConnection, next_in_s: float | None) -> bool:
        lane, now = tables_of(connection, Tables).lane, now_of(connection)
        row = lane["one"]
        if row.probe_at is None or row.probe_at > now:
            return False
        probe_at = None if next_in_s is None else now + timedelta(seconds=next_in_s)
        lane["one"] = row._replace(probe_at=probe_at, failures=row.failures + (row.reason == "circuit_open"))
        return True

    async def _take_turn(self, connection: AsyncConnection, gap_s: float) -> bool:
        lane, now = tables_of(connection, Tables).lane, now_of(connection)
        next_at = lane["one"].next_request_at
        if next_at is not None and next_at > now:
            return False
        lane["one"] = lane["one"]._replace(next_request_at=now + timedelta(seconds=gap_s))
        return True

    async def _take_from_allowance(self, connection: AsyncConnection) -> bool:
        lane, now = tables_of(connection, Tables).lane, now_of(connection)
        row = lane["one"]
        if row.reason is not None or row.allowance is None:
            return False
        if row.allowance > 0:
            lane["one"] = row._replace(allowance=row.allowance - 1)
        elif row.probe_at is not None and row.probe_at <= now:
            lane["one"] = row._replace(probe_at=now + timedelta(seconds=PACED_AT_LEAST_EVERY_S))
        else:
            return False
        return True

    async def _take_ping(self, connection: AsyncConnection, wait_s: float) -> bool:
        lane, now = tables_of(connection, Tables).lane, now_of(connection)
        pinged_at = lane["one"].pinged_at
        if pinged_at is not None and pinged_at > now - timedelta(seconds=wait_s):
            return False
        lane["one"] = lane["one"]._replace(pinged_at=now)
        return True

    async def _put_capabilities(self, connection: AsyncConnection, named: Sequence[str]) -> None:
        lane = tables_of(connection, Tables).lane
        lane["one"] = lane["one"]._replace(capabilities=tuple(named))

    async def _put_message(self, connection: AsyncConnection, message: str) -> None:
        lane = tables_of(connection, Tables).lane
        lane["one"] = lane["one"]._replace(message=message)

    async def _open(self, connection: AsyncConnection, entered: LaneState | None = None) -> Freed | None:
        lane = tables_of(connection, Tables).lane
        row = lane["one"]
        changes = row.reason is not None or row.failures > 0 or row.allowance is not None
        if not changes or (row.reason is not None and entered is not None and entered.reason != row.reason):
            return None
        soon = now_of(connection) + timedelta(seconds=PROBE_S["rate_limited"])
        if row.reason == "rate_limited" and row.probe_at is not None and row.probe_at > soon:
            return None
        if row.reason in PACED_AFTER:
            allowance, probe_at = PACED_FIRST, now_of(connection) + timedelta(seconds=PACED_AT_LEAST_EVERY_S)
            lane["one"] = row._replace(allowance=allowance, probe_at=probe_at)
        elif row.allowance is not None and row.allowance + 2 < PACED_LAST:
            lane["one"] = row._replace(allowance=row.allowance + 2)
        else:
            lane["one"] = row._replace(allowance=None, probe_at=None)
        lane["one"] = lane["one"]._replace(reason=None, message=None, failures=0)
        return (row.reason or None) and ("due" if row.reason in REFUSED else "all")

    async def _stop(self, connection: AsyncConnection, reason: str, message: str, probe_in_s: float | None) -> None:
        lane = tables_of(connection, Tables).lane
        row = lane["one"]
        probe_at = None if probe_in_s is None else now_of(connection) + timedelta(seconds=probe_in_s)
        if row.reason == "rate_limited" and reason in {"rate_limited", "circuit_open"} and probe_at is not None:
            probe_at = max(filter(None, (probe_at, row.probe_at)), default=None)
        lane["one"] = row._replace(reason=reason, message=message, probe_at=probe_at, allowance=None)

    async def _let_probe(self, connection: AsyncConnection) -> Freed:
        lane = tables_of(connection, Tables).lane
        if lane["one"].reason == "circuit_open" and lane["one"].probe_at is None:
            lane["one"] = lane["one"]._replace(probe_at=now_of(connection))
        return "all"

    async def _count_failure(self, connection: AsyncConnection, entered: LaneState | None) -> int:
        lane = tables_of(connection, Tables).lane
        reason = lane["one"].reason
        if reason == "circuit_open" or (entered is not None and entered.reason != reason):
            return 0
        lane["one"] = lane["one"]._replace(failures=lane["one"].failures + 1)
        return lane["one"].failures
