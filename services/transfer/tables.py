"""The tables of transfer's database.

`recording` and `ticket` hold the newest facts of others, `transfer` the newest own fact per recording, which is what is
announced. `folder` is the unit of order: its row is locked by whoever makes one of its recordings wait or takes it up.
An `upload_request` is there only while its outcome is open; the primary key of `frozen_file` keeps a recording out of a
second one.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, MetaData, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.tables import (
    BIGINT,
    JSON,
    MOMENT,
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


class TransferTable(SQLModel, registry=registry()):
    """Base of this service's tables: a metadata of its own."""

    metadata = MetaData()


class Position(TransferTable, PositionColumns, table=True):
    """See shared.tables."""


class Replay(TransferTable, ReplayColumns, table=True):
    """See shared.tables."""


class Origin(TransferTable, OriginColumns, table=True):
    """See shared.tables."""


class DeadLetter(TransferTable, DeadLetterColumns, table=True):
    """See shared.tables."""

    __tablename__ = "dead_letter"
    __table_args__ = dead_letter_indexes()


class Audit(TransferTable, AuditColumns, table=True):
    """See shared.tables."""

    __table_args__ = audit_indexes()


class Lease(TransferTable, LeaseColumns, table=True):
    """See shared.tables."""


class Lane(TransferTable, LaneColumns, table=True):
    """See shared.tables."""


class Recording(TransferTable, table=True):
    """The newest RecordingProcessed, and what became of its upload.

    `waiting` shortlists the rows that may need an upload; whether one does is decided by `wanted_version` and the row
    in `transfer`. `rejected` says why it will not be uploaded as it is.
    """

    __table_args__ = (
        CheckConstraint("not waiting or rejected is null", name="recording_waits_or_is_rejected"),
        Index("recording_waiting", "folder_id", "processed_at", "recording_id", postgresql_where=text("waiting")),
        Index("recording_rejected", "folder_id", postgresql_where=text("rejected is not null")),
    )

    recording_id: str = Field(primary_key=True)
    folder_id: str
    folder_name: str
    filename: str
    size_bytes: int = Field(sa_type=BIGINT)
    token: int = Field(sa_type=BIGINT)
    transcript: str
    requires_ticket: bool
    recorded_at: datetime | None = Field(sa_type=MOMENT)
    processed_at: datetime = Field(sa_type=MOMENT)
    revision: int
    content_hash: bytes
    folded_at: datetime = Field(sa_type=MOMENT)
    wanted_version: int
    waiting: bool
    rejected: str | None


class Ticket(TransferTable, table=True):
    """The newest TicketLinked. It may be there before its recording; `ticket_info` is null after an unlink."""

    recording_id: str = Field(primary_key=True)
    link_version: int
    ticket_info: dict[str, Any] | None = Field(sa_type=JSON)


class Transfer(TransferTable, table=True):
    """The newest RecordingTransferred."""

    # A name may be longer than an index entry can be; its digest is not.
    __table_args__ = (Index("transfer_name", "folder_id", text("md5(filename)")),)

    recording_id: str = Field(primary_key=True)
    folder_id: str
    clouds_uuid: str
    transfer_version: int
    filename: str
    size: str
    token: int = Field(sa_type=BIGINT)
    transcribe: str
    link_version: int
    transferred_at: datetime = Field(sa_type=MOMENT)


class UnheardTransfer(TransferTable, table=True):
    """A transfer of which the last record of the topic does not say the version that it has: it is to be announced.

    A table of its own: a mark in the wide row of the transfer would write that and all of its indexes anew.
    """

    __tablename__ = "unheard_transfer"
    __table_args__ = (Index("unheard_transfer_by_folder", "folder_id", "recording_id"),)

    recording_id: str = Field(primary_key=True)
    folder_id: str
    transfer_version: int


class Folder(TransferTable, table=True):
    """A folder, when to look at it next, and who does.

    It is looked at when `due_at`, `retry_at` and `lease_until` have all passed; null `due_at`: nothing is wanted.
    `held`: nothing happens before an operator answers. `uuid_since`: up to when facts about `clouds_uuid` are known.
    """

    __table_args__ = (
        CheckConstraint("held in ('outcome_unknown', 'missing_in_cloud')", name="folder_held_for_a_reason"),
        CheckConstraint("(lease_token is null) = (lease_until is null)", name="folder_lease_is_whole"),
        CheckConstraint("clouds_uuid is null or uuid_since is not null", name="folder_uuid_is_dated"),
        Index("folder_in_cloud", "clouds_uuid"),
        Index(
            "folder_next",
            text("greatest(due_at, retry_at, lease_until)"),
            postgresql_where=text("due_at is not null and held is null"),
        ),
    )

    folder_id: str = Field(primary_key=True)
    clouds_uuid: str | None
    uuid_since: datetime | None = Field(sa_type=MOMENT)
    due_at: datetime | None = Field(sa_type=MOMENT)
    retry_at: datetime | None = Field(sa_type=MOMENT)
    lease_token: UUID | None
    lease_until: datetime | None = Field(sa_type=MOMENT)
    attempts: int = Field(sa_column_kwargs={"server_default": "0"})
    last_error: str | None
    held: str | None
    max_files: int | None


class UploadRequest(TransferTable, table=True):
    """A request as it was frozen before it was first sent, while its outcome is open; `id` is its Idempotency-Key."""

    __tablename__ = "upload_request"
    __table_args__ = (
        CheckConstraint("(kind = 'inject') = (clouds_uuid is not null)", name="upload_request_has_target"),
    )

    id: UUID = Field(primary_key=True)
    folder_id: str = Field(foreign_key="folder.folder_id", unique=True)
    kind: str
    clouds_uuid: str | None
    body: bytes
    keys_honoured: bool
    frozen_at: datetime = Field(sa_type=MOMENT)
    attempts: int


class FrozenFile(TransferTable, table=True):
    """A recording in an open request, at its place in the body; gone with the request.

    No foreign key says so: to look one up for each row costs as much as the row itself.
    """

    __tablename__ = "frozen_file"

    recording_id: str = Field(primary_key=True)
    request_id: UUID = Field(index=True)
    position: int
    transfer_version: int
    link_version: int
    content_hash: bytes
