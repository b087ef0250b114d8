"""The tables of linker's database, but for those of imports. SQL on them is in the store_*.py files only.

`recording` keeps what RecordingProcessed said and what RecordingTransferred said side by side, whichever came first;
where a recording belongs and what it is called is generated from the two, so it cannot depend on their order.
"""

from datetime import datetime

from sqlalchemy import CheckConstraint, Column, Computed, Identity, Index, MetaData, Text, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.tables import (
    BIGINT,
    MOMENT,
    AuditColumns,
    DeadLetterColumns,
    LeaseColumns,
    OriginColumns,
    PositionColumns,
    ReplayColumns,
    audit_indexes,
    dead_letter_indexes,
)

# Once transferred, folder and file are those that the cloud has.
_FOLDER = "coalesce(transferred_folder_id, processed_folder_id)"
_FILENAME = "coalesce(transferred_filename, processed_filename)"
_NAME_KEY = f"normalize({_FILENAME}, NFC)"
_STEM = "regexp_replace({}, '(.)\\.[[:alnum:]]{{1,10}}$', '\\1')"


def _generated(expression: str) -> Column[str]:
    return Column(Text, Computed(expression, persisted=True))


class LinkerTable(SQLModel, registry=registry()):
    """Base of this service's tables: its own metadata, so that no other service's tables get into its migrations."""

    metadata = MetaData()


class Position(LinkerTable, PositionColumns, table=True):
    """See shared.tables."""


class Replay(LinkerTable, ReplayColumns, table=True):
    """See shared.tables."""


class Origin(LinkerTable, OriginColumns, table=True):
    """See shared.tables."""


class DeadLetter(LinkerTable, DeadLetterColumns, table=True):
    """See shared.tables."""

    __tablename__ = "dead_letter"
    __table_args__ = dead_letter_indexes()


class Audit(LinkerTable, AuditColumns, table=True):
    """See shared.tables."""

    __table_args__ = audit_indexes()


class Lease(LinkerTable, LeaseColumns, table=True):
    """See shared.tables."""


class Recording(LinkerTable, table=True):
    """The catalogue. `revision` 0: RecordingProcessed not seen; `transfer_version` 0: not transferred.

    `known_*`: the newest link that the cloud is known to have, at which transfer. `arrived`: order of arrival.
    `*_place`: where the fact stands on its topic (shared/places.py).
    `name_key` and `stem_key`: the filename in NFC, with and without its extension.
    """

    recording_id: str = Field(primary_key=True)
    arrived: int = Field(sa_column=Column(BIGINT, Identity(), nullable=False))
    processed_folder_id: str | None
    processed_folder_name: str | None
    processed_filename: str | None
    requires_ticket: bool = True
    recorded_at: datetime | None = Field(sa_type=MOMENT)
    processed_at: datetime | None = Field(sa_type=MOMENT)
    revision: int = 0
    content_hash: str = ""
    processed_place: int | None = Field(sa_type=BIGINT)
    transferred_folder_id: str | None
    transferred_filename: str | None
    transfer_version: int = 0
    clouds_uuid: str | None
    transferred_at: datetime | None = Field(sa_type=MOMENT)
    transferred_place: int | None = Field(sa_type=BIGINT)
    known_transfer_version: int = 0
    known_link_version: int = 0
    known_at: datetime | None = Field(sa_type=MOMENT)
    known_place: int | None = Field(sa_type=BIGINT)
    folder_id: str | None = Field(sa_column=_generated(_FOLDER))
    folder_name: str | None = Field(
        sa_column=_generated(f"case when {_FOLDER} = processed_folder_id then processed_folder_name end")
    )
    filename: str | None = Field(sa_column=_generated(_FILENAME))
    name_key: str | None = Field(sa_column=_generated(_NAME_KEY))
    stem_key: str | None = Field(sa_column=_generated(_STEM.format(_NAME_KEY)))

    __table_args__ = (
        Index("recording_by_name", "name_key", "folder_id"),
        Index("recording_by_stem", "stem_key", "folder_id"),
        Index("recording_by_folder", "folder_id", "recording_id"),
        Index("recording_by_folder_name", "folder_name", "folder_id"),
        Index("recording_by_call", text("coalesce(recorded_at, processed_at)"), "recording_id"),
    )


class Link(LinkerTable, table=True):
    """The newest link of a recording. `ticket`: TicketInfo as JSON, null after an unlink. `link_version` 0: there never
    was a link, only an unlink was asked for.

    `last_*`: the newest request seen, also if it changed nothing.
    """

    recording_id: str = Field(primary_key=True)
    link_version: int
    ticket: str | None
    ticket_id: str | None = Field(index=True)
    folder_id: str
    filename: str
    source: str
    request_id: str
    requested_at: datetime = Field(sa_type=MOMENT)
    linked_by: str | None
    import_id: str | None
    occurred_at: datetime = Field(sa_type=MOMENT)
    last_request_id: str
    last_requested_at: datetime = Field(sa_type=MOMENT)

    __table_args__ = (
        # A name may be longer than an index entry can be; its digest is not.
        # A row of an import is a request that nobody makes again.
        Index(
            "link_by_request",
            "request_id",
            text(f"md5({_STEM.format('normalize(filename, NFC)')})"),
            postgresql_where=text("source <> 'import'"),
        ),
    )


class UnheardLink(LinkerTable, table=True):
    """A recording whose last TicketLinked on the topic is not the link's own version, or that has none there yet.

    `link_version`: that of the link, which is to be heard. `import_id`: it is not announced before this import is done.
    A table of its own: a mark in the wide row of the link would write all of its indexes anew, twice a version.
    """

    __tablename__ = "unheard_link"

    recording_id: str = Field(primary_key=True)
    folder_id: str
    link_version: int
    import_id: str | None

    __table_args__ = (Index("unheard_link_by_folder", "import_id", "folder_id"),)


class LinkHistory(LinkerTable, table=True):
    """Every version that a link had before its newest, which stands in `link`, and who asked for it."""

    __tablename__ = "link_history"

    recording_id: str = Field(primary_key=True)
    link_version: int = Field(primary_key=True)
    ticket: str | None
    source: str
    request_id: str
    requested_at: datetime = Field(sa_type=MOMENT)
    linked_by: str | None
    import_id: str | None
    occurred_at: datetime = Field(sa_type=MOMENT)


class ParkedLink(LinkerTable, table=True):
    """A request whose recording has not been seen yet; one per target is parked at a time, the newest.

    `target`: what the request names, hashed; senders may use one request_id for several. `ticket`: TicketDetails as
    JSON, null for an unlink; `keeps`: the fields that it leaves as they are, a JSON array. `state`: parked,
    applied, withdrawn, superseded by a newer one, or dropped by a person.
    """

    __tablename__ = "parked_link"

    request_id: str = Field(primary_key=True)
    target: str = Field(primary_key=True)
    recording_id: str | None
    folder: str | None
    filename: str | None
    name_key: str | None
    has_extension: bool
    ticket: str | None
    keeps: str
    source: str
    requested_at: datetime = Field(sa_type=MOMENT)
    linked_by: str | None
    import_id: str | None
    on_existing: str
    parked_at: datetime = Field(sa_type=MOMENT)
    state: str
    applied_to: str | None
    dropped_at: datetime | None = Field(sa_type=MOMENT)
    dropped_by: str | None

    __table_args__ = (
        CheckConstraint(
            "state in ('parked', 'applied', 'withdrawn', 'superseded', 'dropped')", name="parked_link_state"
        ),
        Index("parked_link_target", "target", unique=True, postgresql_where=text("state = 'parked'")),
        Index(
            "parked_link_oldest",
            "parked_at",
            "target",
            postgresql_where=text("state = 'parked' and ticket is not null"),
        ),
        Index(
            "parked_link_by_recording",
            "recording_id",
            postgresql_where=text("state = 'parked' and recording_id is not null"),
        ),
        Index(
            "parked_link_by_name",
            "name_key",
            "folder",
            postgresql_where=text("state = 'parked' and name_key is not null"),
        ),
    )


class FreshParked(LinkerTable, table=True):
    """A parked request for which the catalogue has not been looked through since it was parked.

    A table of its own: a mark in the wide row of the request would write all of its indexes anew.
    """

    __tablename__ = "fresh_parked"

    target: str = Field(primary_key=True)
    request_id: str
    requested_at: datetime = Field(sa_type=MOMENT)


class ApiRequest(LinkerTable, table=True):
    """A request of the API whose sender named it, and when it first came; see store_requests.py."""

    __tablename__ = "api_request"

    request_id: str = Field(primary_key=True)
    target: str = Field(primary_key=True)
    requested_at: datetime = Field(sa_type=MOMENT)

    __table_args__ = (Index("api_request_by_time", "requested_at"),)


class Arrival(LinkerTable, table=True):
    """A recording for which the parked links have not been looked through yet."""

    recording_id: str = Field(primary_key=True)
