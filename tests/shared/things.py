"""A service of no business: one kind of fact on one topic, one table that keeps the newest of each, and announces it.

`applied` counts how often each record was applied, so that a test can say "exactly once".
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
from sqlalchemy import CheckConstraint, MetaData, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from schemas.events import TicketLinked
from schemas.topics import TICKET_LINKED, Topic
from shared.batch import Folded
from shared.facts import as_record
from shared.producer import Outgoing
from shared.reading import Incoming
from shared.tables import (
    BIGINT,
    AuditColumns,
    DeadLetterColumns,
    LaneColumns,
    LeaseColumns,
    OriginColumns,
    PositionColumns,
    ReplayColumns,
    audit_indexes,
    dead_letter_indexes,
)

NOON = datetime(2025, 1, 29, 12, 0, tzinfo=UTC)
# In the order in which a fold locks them.
_TABLES = ("position", "thing", "applied", "dead_letter", "origin")
FIRST_ROWS = """
    insert into origin (one, created_at) values (true, now());
    insert into lane (one, reason, failures) values (true, 'not_reached', 0);
"""


class ThingTable(SQLModel, registry=registry()):
    metadata = MetaData()


class Position(ThingTable, PositionColumns, table=True): ...


class Replay(ThingTable, ReplayColumns, table=True): ...


class Origin(ThingTable, OriginColumns, table=True): ...


class DeadLetter(ThingTable, DeadLetterColumns, table=True):
    __tablename__ = "dead_letter"
    __table_args__ = dead_letter_indexes()


class Lease(ThingTable, LeaseColumns, table=True): ...


class Audit(ThingTable, AuditColumns, table=True):
    __table_args__ = audit_indexes()


class Lane(ThingTable, LaneColumns, table=True): ...


class Thing(ThingTable, table=True):
    """The newest version of a recording, and the last one that was heard. A version of 666 cannot be stored."""

    recording_id: str = Field(primary_key=True)
    version: int
    heard: int = 0

    __table_args__ = (CheckConstraint("version <> 666"),)


class Applied(ThingTable, table=True):
    partition: int = Field(primary_key=True)
    offset: int = Field(sa_type=BIGINT, primary_key=True)
    times: int


@dataclass(frozen=True)
class Things:
    """`url`: postgresql+asyncpg://… of a database with these tables; `topic`: one that no other test uses."""

    url: str
    topic: Topic

    async def rows(self, sql: str) -> list[dict[str, Any]]:
        connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        try:
            return [dict(row) for row in await connection.fetch(sql)]
        finally:
            await connection.close()

    async def change(self, sql: str) -> None:
        connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    async def versions(self) -> dict[str, int]:
        return {row["recording_id"]: row["version"] for row in await self.rows("select * from thing order by 1")}

    async def heard(self) -> dict[str, int]:
        return {row["recording_id"]: row["heard"] for row in await self.rows("select * from thing order by 1")}

    async def times_applied(self) -> set[int]:
        return {row["times"] for row in await self.rows("select distinct times from applied")}

    async def applied(self) -> int:
        return int((await self.rows("select count(*) from applied"))[0]["count"])

    async def positions(self) -> dict[int, int]:
        rows = await self.rows("select partition, next_offset from position order by 1")
        return {row["partition"]: row["next_offset"] for row in rows}

    async def dead_letters(self) -> list[tuple[str, str]]:
        rows = await self.rows('select reason, error from dead_letter order by partition, "offset"')
        return [(row["reason"], row["error"]) for row in rows]

    async def keep_copy(self) -> None:
        """For `set_back`."""
        await self.change("drop schema if exists kept cascade; create schema kept")
        for name in _TABLES:
            await self.change(f"create table kept.{name} as select * from public.{name}")

    async def set_back(self) -> None:
        """As if the database had been restored from the copy, all at once."""
        await self.change(
            "begin;"
            + "".join(
                f"truncate public.{name}; insert into public.{name} select * from kept.{name};" for name in _TABLES
            )
            + "commit;"
        )


def a_topic(partitions: int = 2) -> Topic:
    """One that nobody else uses."""
    return replace(TICKET_LINKED, name=f"test.{uuid4().hex}", partitions=partitions)


def a_fact(recording_id: str, version: int = 1) -> TicketLinked:
    return TicketLinked.model_validate(
        {
            "recording_id": recording_id,
            "folder_id": "F",
            "filename": "a.wav",
            "link_version": version,
            "ticket_info": None,
            "source": "api",
            "request_id": "Q",
            "requested_at": NOON,
            "occurred_at": NOON,
        }
    )


def a_record(topic: Topic, recording_id: str, version: int = 1) -> Outgoing:
    fact = a_fact(recording_id, version)
    return as_record(topic, fact, key=recording_id, version=str(version), source="things", time=NOON)


async def fold_things(batch: Sequence[Incoming[TicketLinked]], connection: AsyncConnection) -> Folded:
    """Keeps the newest version, what was heard last, and how often each record was applied."""
    newer = 0
    for incoming in batch:
        record, fact = incoming.record, incoming.event
        stored = await connection.execute(
            text("""
                insert into thing (recording_id, version, heard) values (:id, :version, :version)
                on conflict (recording_id) do update
                    set version = greatest(thing.version, excluded.version), heard = excluded.heard
                returning version
            """),
            {"id": fact.recording_id, "version": fact.link_version},
        )
        newer += stored.scalar_one() == fact.link_version
        await connection.execute(
            text("""
                insert into applied (partition, "offset", times) values (:partition, :offset, 1)
                on conflict (partition, "offset") do update set times = applied.times + 1
            """),
            {"partition": record.partition, "offset": record.offset},
        )
    return Folded(newer=newer, wake=("announce",))


async def unheard(connection: AsyncConnection, limit: int) -> Mapping[str, object]:
    rows = await connection.execute(
        text("select recording_id, version from thing where heard <> version order by 1 limit :limit"), {"limit": limit}
    )
    return {row.recording_id: row.version for row in rows}


async def facts(
    connection: AsyncConnection, keys: Sequence[str], *, topic: Topic
) -> Mapping[str, tuple[object, Outgoing]]:
    rows = await connection.execute(
        text("select recording_id, version from thing where recording_id = any(:keys)"), {"keys": list(keys)}
    )
    return {row.recording_id: (row.version, a_record(topic, row.recording_id, row.version)) for row in rows}


async def forget_heard(connection: AsyncConnection) -> None:
    await connection.execute(text("update thing set heard = 0"))
