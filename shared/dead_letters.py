"""Dead letters: records that could not be applied, kept as rows with their reason and published to the service's dlq
topic.

They are written in the transaction that moves past them, so a record is either applied or here, never neither. A record
is known by its place and its content: read again it is the same one, and what stands at that place in another Kafka, or
in a topic that was made anew, is another. The topic gets the original bytes under the original key; the headers say
where from and why.
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.raw_headers import as_bytes, as_name
from schemas.undecodable import Reason
from shared.record import Record
from shared.sql import text

MAX_ERROR_LENGTH = 500


@dataclass(frozen=True)
class DeadLetter:
    """One record and why it could not be applied. `error` names fields and rules, never values."""

    record: Record
    reason: Reason
    error: str


async def keep(connection: AsyncConnection, letters: Sequence[DeadLetter]) -> int:
    """Store them; returns how many were new. One that was applied by a redrive and cannot be any more is open again."""
    stored = 0
    for letter in letters:
        record = letter.record
        result = await connection.execute(
            text("""
                insert into dead_letter
                    (topic, partition, "offset", content, key, value, headers, timestamp_ms, reason, error, failed_at)
                values
                    (:topic, :partition, :offset, :content, :key, :value, cast(:headers as jsonb), :timestamp_ms,
                     :reason, :error, now())
                on conflict (topic, partition, "offset", content) do update
                    set settled_as = null, settled_at = null, settled_by = null
                    where dead_letter.settled_as = 'redriven'
            """),
            {
                "topic": record.topic,
                "partition": record.partition,
                "offset": record.offset,
                "content": _content(record),
                "key": record.key,
                "value": record.value,
                "headers": json.dumps(_headers(record)),
                "timestamp_ms": record.timestamp,
                "reason": letter.reason,
                "error": letter.error[:MAX_ERROR_LENGTH],
            },
        )
        stored += result.rowcount
    return stored


async def count(connection: AsyncConnection) -> int:
    """How many dead letters this service holds that nobody has settled."""
    return int(await connection.scalar(text("select count(*) from dead_letter where settled_as is null")) or 0)


@dataclass(frozen=True)
class Unpublished:
    """A dead letter that its topic does not have yet."""

    topic: str
    partition: int
    offset: int
    content: bytes
    key: bytes | None
    value: bytes
    reason: str
    error: str
    failed_at: datetime

    @property
    def headers(self) -> list[tuple[str, bytes]]:
        """Where the record came from and why it is here, as Kafka headers."""
        said: Mapping[str, object] = {
            "topic": self.topic,
            "partition": self.partition,
            "offset": self.offset,
            "reason": self.reason,
            "error": self.error,
            "time": self.failed_at.isoformat(),
        }
        return [(name, str(value).encode()) for name, value in said.items()]


async def unpublished(connection: AsyncConnection, *, limit: int) -> list[Unpublished]:
    """The oldest ones that were not acknowledged by Kafka yet."""
    rows = await connection.execute(
        text("""
            select topic, partition, "offset", content, key, value, reason, error, failed_at
            from dead_letter where published_at is null order by failed_at, topic, partition, "offset" limit :limit
        """),
        {"limit": limit},
    )
    return [Unpublished(**row) for row in rows.mappings()]


async def mark_published(connection: AsyncConnection, letters: Sequence[Unpublished]) -> None:
    """Kafka has acknowledged these."""
    await connection.execute(
        text("""
            update dead_letter set published_at = now()
            from unnest(cast(:topics as text[]), cast(:partitions as int[]), cast(:offsets as bigint[]),
                        cast(:contents as bytea[])) as u (topic, partition, "offset", content)
            where dead_letter.topic = u.topic and dead_letter.partition = u.partition
                and dead_letter."offset" = u."offset" and dead_letter.content = u.content
        """),
        {
            "topics": [one.topic for one in letters],
            "partitions": [one.partition for one in letters],
            "offsets": [one.offset for one in letters],
            "contents": [one.content for one in letters],
        },
    )


async def forget_published(connection: AsyncConnection) -> None:
    """What was acknowledged was so by a Kafka that is no more: those that nobody has settled are published again."""
    await connection.execute(
        text("update dead_letter set published_at = null where published_at is not null and settled_as is null")
    )


def _content(record: Record) -> bytes:
    """SHA-256 of all that the record's sender and its broker made of it; reading it again gives the same."""
    parts = [record.timestamp, _as_text(record.key), _as_text(record.value), _headers(record)]
    return hashlib.sha256(json.dumps(parts).encode()).digest()


def _headers(record: Record) -> list[tuple[str | None, str | None]]:
    """Names and values as base64: bytes that are not UTF-8 must survive for a redrive."""
    return [(_as_text(as_bytes(name)), _as_text(value)) for name, value in record.headers]


def headers_of(stored: Sequence[Sequence[str | None]]) -> list[tuple[str, bytes | None]]:
    """Headers as they came, of what is stored of them."""
    return [
        (as_name(base64.b64decode(name or "")), None if value is None else base64.b64decode(value))
        for name, value in stored
    ]


def _as_text(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode()
