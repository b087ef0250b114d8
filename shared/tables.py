"""The columns of the tables that the plumbing keeps in every service's own database.

Each service declares its tables from these (`class Position(LinkerTable, PositionColumns, table=True)`), so that each
has its own metadata and migrations; the plumbing's SQL relies on the table and column names given here.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Identity, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlmodel import Field, SQLModel

MOMENT: Any = DateTime(timezone=True)
BIGINT: Any = BigInteger
JSON: Any = JSONB
TEXTS: Any = ARRAY(TEXT)


class PositionColumns(SQLModel):
    """Table `position`: the next offset of a topic's partition that this database has not folded.

    `replay_until`: where it stood when it was last moved back for a replay, which runs while it is behind that.
    """

    topic: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    next_offset: int = Field(sa_type=BIGINT, ge=0)
    replay_until: int | None = Field(sa_type=BIGINT)


class ReplayColumns(SQLModel):
    """Table `replay`: the newest replay of a topic, and what was folded while it ran.

    `to_read` counts offsets; the rest are records: `empty` had no value, `bad` could not be applied.
    """

    topic: str = Field(primary_key=True)
    asked_by: str | None
    asked_at: datetime = Field(sa_type=MOMENT)
    to_read: int = Field(sa_type=BIGINT)
    read: int = Field(sa_type=BIGINT)
    newer: int = Field(sa_type=BIGINT)
    unchanged: int = Field(sa_type=BIGINT)
    bad: int = Field(sa_type=BIGINT)
    empty: int = Field(sa_type=BIGINT)


class OriginColumns(SQLModel):
    """Table `origin`, one row: when this database was made, and which Kafka its positions belong to."""

    one: bool = Field(default=True, primary_key=True)
    created_at: datetime = Field(sa_type=MOMENT)
    cluster_id: str | None


class DeadLetterColumns(SQLModel):
    """Table `dead_letter`: a record that could not be applied, as it was, with the reason.

    `content` is a hash that tells it from another record at the same place, in a topic that was made anew. `headers`
    are pairs of name and value, both as base64; a value may be null. `timestamp_ms` is the record's own. `settled_as`:
    how a person ended it; it stays as the record of that.
    """

    topic: str = Field(primary_key=True)
    partition: int = Field(primary_key=True)
    offset: int = Field(sa_type=BIGINT, primary_key=True)
    content: bytes = Field(primary_key=True)
    key: bytes | None
    value: bytes
    headers: list[Any] = Field(sa_type=JSON)
    timestamp_ms: int = Field(sa_type=BIGINT)
    reason: str
    error: str
    failed_at: datetime = Field(sa_type=MOMENT)
    published_at: datetime | None = Field(sa_type=MOMENT)
    settled_as: str | None
    settled_at: datetime | None = Field(sa_type=MOMENT)
    settled_by: str | None


def dead_letter_indexes() -> tuple[Index, Index]:
    """For what is to be announced and what is open: one that is neither stays, and is nobody's business any more."""
    place = ("topic", "partition", "offset")
    return (
        Index("dead_letter_unpublished", "failed_at", *place, postgresql_where=text("published_at is null")),
        Index("dead_letter_open", *place, postgresql_where=text("settled_as is null")),
    )


class LeaseColumns(SQLModel):
    """Table `lease`: which process does a thing that only one may do at a time, and until when."""

    name: str = Field(primary_key=True)
    token: UUID
    until: datetime = Field(sa_type=MOMENT)


class AuditColumns(SQLModel):
    """Table `audit`: what somebody did through the API or a command, in the transaction of its effect.

    `who` is null if the caller did not say. `subject`: what it was done to; `detail`: what else is to be known of it,
    an object of few and small values.
    """

    id: int = Field(sa_type=BIGINT, primary_key=True, sa_column_args=[Identity(always=True)])
    time: datetime = Field(sa_type=MOMENT)
    who: str | None
    what: str
    subject: str
    detail: dict[str, Any] = Field(sa_type=JSON)


def audit_indexes() -> tuple[Index, Index]:
    """For all of it, and for all of one subject, in the order of time."""
    return Index("audit_by_time", "time", "id"), Index("audit_by_subject", "subject", "time")


class LaneColumns(SQLModel):
    """Table `lane`, one row: whether this service may send to the cloud now, for all its replicas together.

    `reason` is null while the lane is open. `probe_at` is when the next request may be tried all the same; null: none
    before a ping succeeds. `allowance`: how many more requests may be begun after a time of trouble, at least one at
    `probe_at`; null: any number. `not_before`: until then the cloud wants nothing, as it said itself. `paused_*`:
    somebody has stopped it, by whatever name and for whatever reason; all null or, but for the name, none.
    """

    one: bool = Field(default=True, primary_key=True)
    reason: str | None
    message: str | None
    probe_at: datetime | None = Field(sa_type=MOMENT)
    failures: int
    allowance: int | None
    not_before: datetime | None = Field(sa_type=MOMENT)
    next_request_at: datetime | None = Field(sa_type=MOMENT)
    capabilities: list[str] | None = Field(sa_type=TEXTS)
    pinged_at: datetime | None = Field(sa_type=MOMENT)
    paused_at: datetime | None = Field(sa_type=MOMENT)
    paused_by: str | None
    paused_why: str | None
