"""The events on the topics, as the one declaration that code, JSON Schemas and documents are made from.

Unknown fields are ignored, so a newer publisher may add some; everything known is checked to the last character.
An event that validates can be stored and sent on as it is. Instances never change and compare by value; two facts
with the same content are equal.
"""

from typing import ClassVar, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from schemas.fields import (
    ACloudsUuid,
    Actor,
    AFolderId,
    AnImportId,
    ARecordingId,
    ARequestId,
    Count,
    Flag,
    Instant,
    Maybe,
    MaybeBlank,
    Name,
    Text100,
    Text255,
    Text500,
    TicketUrl,
    Transcript,
    Version,
    VersionOrZero,
)

RESYNC_RECORDINGS_MAX = 10_000
RESYNC_RATE_MAX = 1_000_000


class Frozen(BaseModel):
    """A value that never changes; fields nobody knows are dropped."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    def as_json(self) -> bytes:
        """In UTF-8, by pydantic's own serializer: the layer above it takes as long again."""
        return self.__pydantic_serializer__.to_json(self)


class Fact(Frozen):
    """A Frozen that travels on a topic of its own name, under a major version."""

    major_version: ClassVar[int] = 1
    # The numbers that say which of two facts of one key is the newer, if numbers do.
    order: ClassVar[tuple[str, ...]] = ()
    # The field that tells two facts of one key and order apart, where a lost database may have given a number twice.
    told_apart_by: ClassVar[str | None] = None


class TicketDetails(Frozen):
    """A help-desk ticket as people and foreign systems give it. A link replaces all of it."""

    ticket_id: Text100
    ticket_url: MaybeBlank[TicketUrl] = None
    customer_name: MaybeBlank[Text255] = None
    agent_name: MaybeBlank[Text255] = None
    call_intent: MaybeBlank[Text100] = None
    call_outcome: MaybeBlank[Text100] = None


class TicketInfo(TicketDetails):
    """A ticket as the cloud shows it: the details, the display name made from them, and when it was linked."""

    display_name: MaybeBlank[Text500] = None
    linked_at: Maybe[Instant] = None


class RecordingProcessed(Fact):
    """A recording has been transcribed and can go to the cloud. The highest (revision, processed_at) is the newest."""

    recording_id: ARecordingId
    folder_id: AFolderId = Field(description="identity of the batch that the recording belongs to")
    folder_name: Name = Field(description="label of the folder; it may change and need not be unique")
    filename: Name = Field(description="compared exactly; one recording of a name per folder")
    size_bytes: Count
    token: Count = Field(description="number of tokens of the transcript")
    transcript: Transcript
    requires_ticket: Flag = True
    recorded_at: Maybe[Instant] = None
    processed_at: Instant
    revision: Version = 1


class TicketLinked(Fact):
    """The ticket of a recording, or that it has none any more. The highest link_version is the newest."""

    order = ("link_version",)
    told_apart_by = "request_id"

    recording_id: ARecordingId
    folder_id: AFolderId
    filename: Name
    link_version: Version
    ticket_info: TicketInfo | None = Field(description="null after an unlink")
    source: Literal["api", "import", "event"]
    request_id: ARequestId
    requested_at: Instant
    linked_by: Maybe[Actor] = None
    import_id: Maybe[AnImportId] = None
    occurred_at: Instant


class TransferredFile(Frozen):
    """A file exactly as it was sent to the cloud."""

    filename: Name
    size: Text100 = Field(description="1024-based, such as 2.5 MB")
    token: Count
    transcribe: Transcript


class RecordingTransferred(Fact):
    """A recording is in the cloud. The highest transfer_version is the newest."""

    order = ("transfer_version",)

    recording_id: ARecordingId
    folder_id: AFolderId
    clouds_uuid: ACloudsUuid = Field(description="identity of the folder in the cloud; opaque")
    transfer_version: Version
    file: TransferredFile
    link_version: VersionOrZero = Field(description="the link that travelled with the upload; 0 = none")
    transferred_at: Instant


class CloudTicketUpdated(Fact):
    """The cloud has acknowledged a link. The highest (transfer_version, link_version) is the newest."""

    order = ("transfer_version", "link_version")

    recording_id: ARecordingId
    clouds_uuid: ACloudsUuid
    transfer_version: Version
    link_version: Version
    updated_at: Instant


def _exactly_one(**present: dict[str, JsonValue]) -> ConfigDict:
    """Tells JSON Schema what the model's validator says; each field with what it looks like when it is given."""
    branches: list[JsonValue] = [{"required": [name], "properties": {name: look}} for name, look in present.items()]
    return ConfigDict(json_schema_extra={"oneOf": branches})


class TicketLinkRequested(Fact):
    """Somebody wants a recording's ticket set or removed. The highest (requested_at, request_id) wins.

    The recording is named by recording_id, or by filename with an optional folder.
    """

    model_config = _exactly_one(recording_id={"type": "string"}, filename={"type": "string"})

    request_id: ARequestId
    requested_at: Instant = Field(description="counts at most as the time at which the broker took the event")
    recording_id: Maybe[ARecordingId] = None
    filename: Maybe[Name] = None
    folder: Maybe[Name] = Field(default=None, description="folder_id, else a folder_name that only one folder has")
    ticket_info: TicketDetails | None = Field(description="null removes the ticket")
    linked_by: Maybe[Actor] = None
    park: Flag = Field(default=True, description="keep the link until its recording arrives; false: refuse it")

    @model_validator(mode="after")
    def _names_one_recording(self) -> Self:
        if (self.recording_id is None) == (self.filename is None):
            raise ValueError("exactly one of recording_id and filename is needed")
        return self


class TicketSyncRequested(Fact):
    """Somebody wants the cloud looked at again: what is not in sync is pushed; with force, everything selected."""

    model_config = _exactly_one(recording_ids={"type": "array"}, folder_id={"type": "string"}, all={"const": True})

    request_id: ARequestId
    requested_at: Instant
    requested_by: Actor
    force: Flag = False
    recording_ids: Maybe[tuple[ARecordingId, ...]] = Field(default=None, min_length=1, max_length=RESYNC_RECORDINGS_MAX)
    folder_id: Maybe[AFolderId] = None
    all: Flag = False
    rate_per_minute: Maybe[int] = Field(
        default=None, strict=True, ge=1, le=RESYNC_RATE_MAX, description="requests to the cloud; none: no limit"
    )

    @model_validator(mode="after")
    def _selects_one_way(self) -> Self:
        if (self.recording_ids is not None) + (self.folder_id is not None) + self.all != 1:
            raise ValueError("exactly one of recording_ids, folder_id and all is needed")
        return self


Event: TypeAlias = (
    RecordingProcessed
    | TicketLinked
    | RecordingTransferred
    | CloudTicketUpdated
    | TicketLinkRequested
    | TicketSyncRequested
)
EVENTS: tuple[type[Event], ...] = (
    RecordingProcessed,
    TicketLinked,
    RecordingTransferred,
    CloudTicketUpdated,
    TicketLinkRequested,
    TicketSyncRequested,
)
