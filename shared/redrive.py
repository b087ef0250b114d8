"""Redrives and discards: dead letters that a person looks after.

A redrive folds the record's own bytes again, from its row, the way they came: what ended as a dead letter because of
this service is applied once that is mended, and what is still wrong stays a dead letter with its reason. Bytes never
come from a caller, who could otherwise make facts that no topic has. A dead letter that is settled stays as a row, with
how, when and by whom; only a settled one does not count any more.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.raw_headers import joined
from schemas.topics import Topic
from shared import dead_letters
from shared.batch import Apply, Folded, fold_records
from shared.database import notify
from shared.reading import read
from shared.record import Record
from shared.sql import text


@dataclass(frozen=True)
class Place:
    """Where a record stood. In a topic that was made anew another one may stand there as well."""

    topic: str
    partition: int
    offset: int


@dataclass(frozen=True)
class Applied:
    """It is folded. `newer`: it said something that was not known yet."""

    folded: Folded

    @property
    def newer(self) -> bool:
        """See above."""
        return self.folded.newer > 0


@dataclass(frozen=True)
class StillDead:
    """It cannot be applied, for this reason."""

    reason: str
    error: str


@dataclass(frozen=True)
class NotOpen:
    """There is no dead letter at this place, or it is settled."""


Redriven: TypeAlias = Applied | StillDead | NotOpen


async def redrive(
    connection: AsyncConnection, place: Place, *, topic: Topic, apply: Apply, who: str | None
) -> Redriven:
    """Fold it. If it was applied, the row is settled."""
    rows = await _lock(connection, place)
    if not rows:
        return NotOpen()
    batch = await read(topic, [_record(row) for row in rows], skimmed=False)
    folded = await fold_records(connection, batch, apply=apply)
    if folded.refused:
        return StillDead(folded.refused[0].reason, folded.refused[0].error)
    await _settle(connection, place, how="redriven", who=who)
    await notify(connection, folded.wake)
    return Applied(folded)


async def discard(connection: AsyncConnection, place: Place, *, who: str | None) -> bool:
    """Let it be settled without being applied. False: there is none at this place, or it is settled already."""
    if not await _lock(connection, place):
        return False
    await _settle(connection, place, how="discarded", who=who)
    return True


@dataclass(frozen=True)
class Wanted:
    """Conditions on a list of dead letters; those that are given have to be met, all of them."""

    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    key: str | None = None
    reason: str | None = None
    since: datetime | None = None
    settled: bool = False
    limit: int = 100
    after: tuple[str, int, int, bytes] | None = None


@dataclass(frozen=True)
class Seen:
    """A dead letter without what it holds. `content` tells it from others at its place."""

    topic: str
    partition: int
    offset: int
    content: bytes
    reason: str
    error: str
    failed_at: datetime
    size_bytes: int
    settled_as: str | None
    settled_at: datetime | None
    settled_by: str | None


async def seen(connection: AsyncConnection, wanted: Wanted) -> list[Seen]:
    """In the order of their places."""
    topic, partition, offset, content = wanted.after or ("", 0, 0, b"")
    rows = await connection.execute(
        text("""
            select topic, partition, "offset", content, reason, error, failed_at, octet_length(value) as size_bytes,
                settled_as, settled_at, settled_by
            from dead_letter
            where (settled_as is not null) = :settled
                and (cast(:topic as text) is null or topic = :topic)
                and (cast(:partition as int) is null or partition = :partition)
                and (cast(:offset as bigint) is null or "offset" = :offset)
                and (cast(:key as bytea) is null or key = :key)
                and (cast(:reason as text) is null or reason = :reason)
                and (cast(:since as timestamptz) is null or failed_at >= :since)
                and (topic, partition, "offset", content)
                    > (:after_topic, :after_partition, :after_offset, cast(:after_content as bytea))
            order by topic, partition, "offset", content limit :limit
        """),
        {
            "settled": wanted.settled,
            "topic": wanted.topic,
            "partition": wanted.partition,
            "offset": wanted.offset,
            "key": None if wanted.key is None else wanted.key.encode(),
            "reason": wanted.reason,
            "since": wanted.since,
            "after_topic": topic,
            "after_partition": partition,
            "after_offset": offset,
            "after_content": content,
            "limit": wanted.limit,
        },
    )
    return [Seen(**row) for row in rows.mappings()]


@dataclass(frozen=True)
class Whole:
    """A dead letter with what it holds."""

    seen: Seen
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes | None]]


async def whole(connection: AsyncConnection, place: Place) -> list[Whole]:
    """What stands at this place, settled or not; the newest first."""
    rows = await connection.execute(
        text("""
            select topic, partition, "offset", content, reason, error, failed_at, octet_length(value) as size_bytes,
                settled_as, settled_at, settled_by, timestamp_ms, key, value, headers
            from dead_letter where topic = :topic and partition = :partition and "offset" = :offset
            order by failed_at desc, content
        """),
        vars(place),
    )
    return [
        Whole(Seen(*row[:11]), row.timestamp_ms, row.key, row.value, dead_letters.headers_of(row.headers))
        for row in rows
    ]


async def _lock(connection: AsyncConnection, place: Place) -> Collection[Row[Any]]:
    rows = await connection.execute(
        text("""
            select topic, partition, "offset", timestamp_ms, key, value, headers from dead_letter
            where topic = :topic and partition = :partition and "offset" = :offset and settled_as is null
            order by content for update
        """),
        vars(place),
    )
    return rows.all()


async def _settle(
    connection: AsyncConnection, place: Place, *, how: Literal["redriven", "discarded"], who: str | None
) -> None:
    await connection.execute(
        text("""
            update dead_letter set settled_as = :how, settled_at = now(), settled_by = :who
            where topic = :topic and partition = :partition and "offset" = :offset and settled_as is null
        """),
        {**vars(place), "how": how, "who": who},
    )


def _record(row: Row[Any]) -> Record:
    """The record as the consumer gave it."""
    headers = joined(dead_letters.headers_of(row.headers))
    return Record(row.topic, row.partition, row.offset, row.timestamp_ms, row.key, row.value, headers)
