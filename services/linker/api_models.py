"""What linker's HTTP API takes and answers about links and recordings; of imports, see api_import_models.py."""

from datetime import datetime
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, model_validator

from schemas.events import TicketDetails, TicketInfo
from schemas.fields import Actor, AFolderId, ARecordingId, ARequestId, Instant, Name
from services.linker.api_facts import FactsAnswer

SAME_REQUEST = "the same request again changes nothing; made up if missing"
REQUESTED_AT = "the newest request wins; if missing, the time at which a request of this request_id first arrived"


class LinkBody(BaseModel):
    """A link to make: the recording by recording_id, or by filename with an optional folder."""

    model_config = ConfigDict(extra="forbid")

    recording_id: ARecordingId | None = None
    filename: Name | None = None
    folder: Name | None = Field(None, description="folder_id, else a folder_name that only one folder has")
    ticket_info: TicketDetails
    request_id: ARequestId | None = Field(None, description=SAME_REQUEST)
    requested_at: Instant | None = Field(None, description=REQUESTED_AT)
    linked_by: Actor | None = None
    park: StrictBool = Field(default=True, description="keep the link until its recording arrives; false: refuse it")

    @model_validator(mode="after")
    def _names_one_recording(self) -> Self:
        if (self.recording_id is None) == (self.filename is None):
            raise ValueError("exactly one of recording_id and filename is needed")
        return self


class LinkAnswer(BaseModel):
    """What became of a request. `replaced_ticket_id` is there after an overwrite or an unlink."""

    outcome: Literal["matched", "overwrite", "unchanged", "stale", "parked", "unlinked", "withdrawn"]
    recording_id: str | None = None
    link_version: int | None = None
    replaced_ticket_id: str | None = None
    display_name: str | None = None


class RecordingAnswer(BaseModel):
    """One recording, its state and its newest link."""

    recording_id: ARecordingId
    folder_id: AFolderId
    folder_name: str | None
    filename: str
    state: str
    requires_ticket: bool
    transfer_version: int
    clouds_uuid: str | None
    link_version: int
    acknowledged_link_version: int
    ticket_info: TicketInfo | None
    source: str | None
    linked_by: str | None
    import_id: str | None
    linked_at: datetime | None
    called_at: datetime | None


class LinkVersionAnswer(BaseModel):
    """A version that a recording's link had: what the ticket was (null: unlinked), who asked for it, when and how.

    `source` is api, import or event; `import_id` says by which import. `linked_at`: when linker gave the version.
    """

    link_version: int
    ticket_info: TicketInfo | None
    source: str
    request_id: str
    requested_at: datetime
    linked_by: str | None
    import_id: str | None
    linked_at: datetime


class RecordingIdsAnswer(BaseModel):
    """Recordings as [folder_id, recording_id], a page of them."""

    items: list[Annotated[list[str], Field(min_length=2, max_length=2)]]
    next_cursor: str | None


class RecordingWithHistory(RecordingAnswer):
    """One recording, what was heard of it, and the versions of its link, the newest first.

    `next_before_version`: where older ones go on, null if these are all.
    """

    facts: FactsAnswer
    history: list[LinkVersionAnswer]
    next_before_version: int | None


class RecordingsAnswer(BaseModel):
    """A page of recordings. It may have fewer than asked for; the list is over when `next_cursor` is null."""

    items: list[RecordingAnswer]
    next_cursor: str | None


class StatisticsAnswer(BaseModel):
    """How many recordings there are, and of how many the ticket is there, or missing though it is required."""

    recordings: int
    linked: int
    needs_linking: int
    linked_percent: float = Field(description="linked of all recordings; 0 if there is none")

    @classmethod
    def of(cls, row: Any) -> Self:  # noqa: ANN401  # a row of seen.statistics
        """The answer for one row."""
        # Rounded down: 100 is all.
        percent = 1000 * row["linked"] // row["recordings"] / 10 if row["recordings"] else 0.0
        return cls(**row, linked_percent=percent)


class FolderStatisticsAnswer(StatisticsAnswer):
    """The same of one folder."""

    folder_id: str


class FoldersStatisticsAnswer(BaseModel):
    """Folders in order of their ids, a page at a time."""

    items: list[FolderStatisticsAnswer]
    next_cursor: str | None


class FolderAnswer(BaseModel):
    """A folder and how many recordings it has."""

    folder_id: str
    folder_name: str | None
    recordings: int
    transferred: int


class FoldersAnswer(BaseModel):
    """Folders in order of their ids, a page at a time."""

    items: list[FolderAnswer]
    next_cursor: str | None


class StatusAnswer(BaseModel):
    """Recordings by state. `parked_expired`: parked links that wait too long; they are in `parked` as well.

    `working`: imports, arrivals and parked links that are not decided yet. `oldest_pending_at`: since when the one is
    linked that waits longest for the cloud to have its link.
    """

    recordings: int
    states: dict[str, int]
    oldest_pending_at: datetime | None
    parked: int
    parked_expired: int
    dead_letters: int
    working: int


def with_ticket(row: Any) -> dict[str, Any]:  # noqa: ANN401  # a row with a column `ticket`
    """The row with its ticket as TicketInfo."""
    ticket = TicketInfo.model_validate_json(row["ticket"]) if row["ticket"] else None
    return {name: value for name, value in row.items() if name != "ticket"} | {"ticket_info": ticket}
