"""The tables of cloud_updater's database. Their SQL is in store.py, ledgers.py, claims.py, pushes.py, resyncs.py,
announce_updates.py and seen.py only; what they all mean by owed and acknowledged, in predicates.py.

What is sent stands ready as JSON text: the ticket in its `recording`, whose row changes with each link anyway; the
file, which holds the transcript, by itself in `file`. A folder in the cloud has one `ledger` row: every change to one
of its recordings takes the next `seq` under that row's lock, and `cursor` says up to which seq the cloud knows.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, MetaData, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.tables import (
    BIGINT,
    MOMENT,
    TEXTS,
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


class CloudUpdaterTable(SQLModel, registry=registry()):
    """Base of this service's tables: its own metadata, so that no other service's tables get into its migrations."""

    metadata = MetaData()


class Position(CloudUpdaterTable, PositionColumns, table=True):
    """See shared.tables."""

    __table_args__ = (CheckConstraint("next_offset >= 0", name="position_is_an_offset"),)


class Replay(CloudUpdaterTable, ReplayColumns, table=True):
    """See shared.tables."""


class Origin(CloudUpdaterTable, OriginColumns, table=True):
    """See shared.tables."""

    __table_args__ = (CheckConstraint("one", name="origin_is_one_row"),)


class DeadLetter(CloudUpdaterTable, DeadLetterColumns, table=True):
    """See shared.tables."""

    __tablename__ = "dead_letter"
    __table_args__ = dead_letter_indexes()


class Audit(CloudUpdaterTable, AuditColumns, table=True):
    """See shared.tables."""

    __table_args__ = audit_indexes()


class Lease(CloudUpdaterTable, LeaseColumns, table=True):
    """See shared.tables."""


class Lane(CloudUpdaterTable, LaneColumns, table=True):
    """See shared.tables."""

    __table_args__ = (
        CheckConstraint("one", name="lane_is_one_row"),
        CheckConstraint(
            "reason in ('not_reached', 'unauthorized', 'rate_limited', 'no_route', 'circuit_open')",
            name="lane_stopped_for_a_reason",
        ),
        CheckConstraint("failures >= 0", name="lane_counts_failures"),
    )


class Recording(CloudUpdaterTable, table=True):
    """What is wanted and what is known of one recording; made by whichever fact comes first.

    `transfer_version` 0: not transferred yet. `link_version` 0: never linked. `known_*`: the newest
    acknowledgement, as far as the ledger's cursors do not say it (predicates.py).
    `link_place`: where the wanted link's TicketLinked stands (shared/places.py); `ticket`: its JSON or null.
    `forced`: push at this seq whatever is known. `rejected`: why the cloud refuses the file at this seq.
    """

    recording_id: str = Field(primary_key=True)
    folder_id: str | None
    clouds_uuid: str | None
    transfer_version: int = 0
    link_version: int = 0
    known_transfer_version: int = 0
    known_link_version: int = 0
    link_place: int | None = Field(sa_type=BIGINT)
    ticket: str | None
    seq: int = Field(default=0, sa_type=BIGINT)
    forced: bool = False
    rejected: str | None

    __table_args__ = (
        Index("recording_by_seq", "clouds_uuid", "seq"),
        Index("recording_rejected", "clouds_uuid", postgresql_where=text("rejected is not null")),
        CheckConstraint(
            "(clouds_uuid is null) = (transfer_version = 0) and (clouds_uuid is null) = (folder_id is null)",
            name="recording_is_placed_by_a_transfer",
        ),
        CheckConstraint(
            "clouds_uuid is not null or (seq = 0 and not forced and rejected is null)",
            name="recording_owes_where_it_is_placed",
        ),
        CheckConstraint(
            "transfer_version >= 0 and link_version >= 0 and known_transfer_version >= 0 and known_link_version >= 0",
            name="recording_versions_count_up",
        ),
        CheckConstraint("(ticket is null) = (link_version = 0)", name="recording_has_its_links_ticket"),
        CheckConstraint("ticket = 'null' or left(ticket, 1) = '{'", name="recording_ticket_is_an_object_or_null"),
    )


class File(CloudUpdaterTable, table=True):
    """The file as it was sent: JSON with filename, size, token, transcribe."""

    recording_id: str = Field(primary_key=True)
    body: str

    __table_args__ = (CheckConstraint("left(body, 1) = '{'", name="file_is_an_object"),)


class Ledger(CloudUpdaterTable, table=True):
    """One folder in the cloud.

    `announced_cursor`: up to which seq the acknowledgements are on our own topic. `forced_until`: rows up to
    this seq are pushed whatever is known. `generation` changes when the cursor is set back. `missing`: the cloud has
    lost it. `batch_limit`: files a request may hold while a refusal is being narrowed down.
    """

    clouds_uuid: str = Field(primary_key=True)
    folder_id: str = Field(index=True)
    last_seq: int = Field(default=0, sa_type=BIGINT)
    cursor: int = Field(default=0, sa_type=BIGINT)
    announced_cursor: int = Field(default=0, sa_type=BIGINT)
    forced_until: int = Field(default=0, sa_type=BIGINT)
    generation: int = 0
    changed_at: datetime | None = Field(sa_type=MOMENT)
    owed_since: datetime | None = Field(sa_type=MOMENT)
    due_at: datetime | None = Field(sa_type=MOMENT)
    lease_token: UUID | None
    lease_until: datetime | None = Field(sa_type=MOMENT)
    attempts: int = 0
    last_error: str | None
    batch_limit: int | None
    missing: bool = False
    pushed_at: datetime | None = Field(sa_type=MOMENT)

    __table_args__ = (
        Index("ledger_due", "due_at", postgresql_where=text("due_at is not null")),
        Index("ledger_to_announce", "clouds_uuid", postgresql_where=text("announced_cursor < cursor")),
        CheckConstraint(
            "0 <= announced_cursor and announced_cursor <= cursor and cursor <= last_seq",
            name="ledger_cursors_are_in_order",
        ),
        CheckConstraint("forced_until between 0 and last_seq", name="ledger_forces_what_is_there"),
        CheckConstraint("(lease_token is null) = (lease_until is null)", name="ledger_lease_is_whole"),
        CheckConstraint("batch_limit between 1 and 500", name="ledger_batch_limit_is_a_limit"),
        CheckConstraint("generation >= 0 and attempts >= 0", name="ledger_counts_up"),
    )


class Claim(CloudUpdaterTable, table=True):
    """A push that was claimed and whose outcome is not recorded; left by a crash, it is an unknown outcome."""

    clouds_uuid: str = Field(primary_key=True)
    token: UUID
    recording_ids: list[str] = Field(sa_type=TEXTS)

    __table_args__ = (CheckConstraint("cardinality(recording_ids) > 0", name="claim_names_recordings"),)


class Duty(CloudUpdaterTable, table=True):
    """A recording to push once more, because an older push may still take effect in the cloud."""

    recording_id: str = Field(primary_key=True)
    due_at: datetime = Field(sa_type=MOMENT, index=True)


class SyncRequest(CloudUpdaterTable, table=True):
    """A TicketSyncRequested: acts once, in bounded steps; stays as the record of who asked for what.

    `made_owed`: recordings that its steps found to be pushed, the last of them at `made_owed_at`. `next_at`: its next
    step is not before.
    """

    __tablename__ = "sync_request"

    request_id: str = Field(primary_key=True)
    requested_at: datetime = Field(sa_type=MOMENT)
    requested_by: str
    force: bool
    recording_ids: list[Any] | None = Field(sa_type=TEXTS)
    folder_id: str | None
    received_at: datetime = Field(sa_type=MOMENT)
    rate_per_minute: int | None
    after_uuid: str = ""
    made_owed: int = Field(default=0, sa_type=BIGINT)
    made_owed_at: datetime | None = Field(sa_type=MOMENT)
    next_at: datetime | None = Field(sa_type=MOMENT)
    paused_at: datetime | None = Field(sa_type=MOMENT)
    cancelled_at: datetime | None = Field(sa_type=MOMENT)
    done_at: datetime | None = Field(sa_type=MOMENT)

    __table_args__ = (
        Index("sync_request_open", "received_at", postgresql_where=text("done_at is null")),
        Index("sync_request_newest", "received_at", "request_id"),
        CheckConstraint("recording_ids is null or folder_id is null", name="sync_request_selects_one_way"),
        CheckConstraint("cancelled_at is null or done_at is not null", name="sync_request_ends_when_cancelled"),
        CheckConstraint("done_at is null or paused_at is null", name="sync_request_is_over_or_paused"),
    )
