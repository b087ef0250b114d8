"""The services' answers, as far as the commands read them.

An answer that does not fit comes from another server or another version: `ops.service_api` says so instead of failing
somewhere inside a command.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel

State = Literal["not_transferred", "pending", "in_sync", "waiting_for_ticket", "no_ticket_needed"]
Blocked = Literal["retrying", "rejected", "outcome_unknown", "missing_in_cloud"]


class Answer(BaseModel):
    """An answer; what a newer service adds is ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Anything(RootModel[dict[str, Any]]):
    """A JSON object that is shown as it came."""


class LinkerStatus(Answer):
    """The linker's view: every recording is in exactly one state. `working`: asked for and not yet decided.

    `oldest_pending_at`: when the link was made that waits longest for the cloud to have it.
    """

    recordings: int
    states: dict[State, int]
    oldest_pending_at: datetime | None = None
    parked: int
    parked_expired: int = 0
    dead_letters: int
    working: int


class LaneState(Answer):
    """A service's traffic to the cloud; `reason` and `message` say why it is stopped."""

    open: bool
    reason: str | None = None
    message: str | None = None
    probe_at: datetime | None = None


class TransferStatus(Answer):
    """What keeps recordings from being uploaded, by reason. `working`: what it will yet do by itself."""

    blocked: dict[Blocked, int]
    dead_letters: int
    working: int
    lane: LaneState


class CloudUpdaterStatus(Answer):
    """What keeps links from the cloud, by reason. `owed`: what pushes have yet to carry, forced or not."""

    blocked: dict[Blocked, int]
    dead_letters: int
    owed: int
    lane: LaneState


class BlockedRecording(Answer):
    """A recording that does not get on, and why."""

    recording_id: str
    folder_id: str | None
    reason: Blocked
    message: str | None
    next_try_at: datetime | None = None


class BlockedRecordings(Answer):
    """A page of what is blocked; those that need a person come first."""

    items: list[BlockedRecording]
    next_cursor: str | None = None


class Position(Answer):
    """The next record that a service will fold of one partition."""

    topic: str
    partition: int
    next_offset: int


class Positions(Answer):
    """How far a service has folded."""

    positions: list[Position]


class Folder(Answer):
    """A folder with the number of its recordings, and of those that the cloud has."""

    folder_id: str
    folder_name: str | None
    recordings: int
    transferred: int


class Folders(Answer):
    """Folders that fit a question, a page of them."""

    items: list[Folder]
    next_cursor: str | None


class Recording(Answer):
    """What a command needs to know of one recording."""

    recording_id: str
    folder_id: str
    folder_name: str | None
    filename: str
    state: State


class Recordings(Answer):
    """Recordings that fit a question."""

    items: list[Recording]


class Linked(Answer):
    """What became of a link or an unlink."""

    outcome: str
    recording_id: str | None = None
    link_version: int | None = None
    replaced_ticket_id: str | None = None
    display_name: str | None = None


class ParkedLink(Answer):
    """A link that waits for its recording, named for the answer and as it is shown."""

    parked_id: str
    request_id: str
    recording_id: str | None
    folder: str | None
    filename: str | None
    ticket_id: str
    age_s: int
    state: str


class ParkedLinks(Answer):
    """A page of parked links, the oldest first."""

    items: list[ParkedLink]
    next_cursor: str | None


class Dropped(Answer):
    """How many parked links were given up, and how many did not wait any more."""

    dropped: int
    gone: int


class ImportStarted(Answer):
    """The linker has taken a spreadsheet. `repeated`: it had it before, all of it still stands, nothing is done."""

    import_id: str
    repeated: bool = False


class ImportProgress(Answer):
    """How far an import is; `counts` by outcome."""

    status: Literal["running", "done"]
    rows_total: int
    rows_done: int
    counts: dict[str, int]


class ImportRows(Answer):
    """Some rows of an import's report, in order of their lines."""

    items: list[dict[str, Any]]
    next_after_line: int | None = None


class RecordingsPage(Recordings):
    """A page of recordings."""

    next_cursor: str | None


class ResyncPlan(Answer):
    """What a resync would do, by recordings; see POST /resyncs/plan of cloud_updater."""

    to_send: int
    blocked: int
    in_sync: int
    no_ticket: int
    not_transferred: int | None
    requests: int
    expected_s: float | None


class Resync(Answer):
    """A resync that was taken up."""

    request_id: str
    requested_at: datetime
    requested_by: str
    force: bool
    recordings: int | None
    folder_id: str | None
    rate_per_minute: int | None
    state: Literal["waiting", "running", "paused", "carried_out", "cancelled"]
    made_owed: int
    done_at: datetime | None


class ResyncProgress(Resync):
    """The same, and how far it is; `owed`: of its recordings, those that are still to be pushed."""

    folders: int
    folders_done: int
    owed: int


class Resyncs(Answer):
    """Resyncs, the newest first."""

    items: list[Resync]


class AuditRecord(Answer):
    """What somebody did, and to what."""

    time: datetime
    who: str | None
    what: str
    subject: str
    detail: dict[str, Any]


class AuditRecords(Answer):
    """A page of a service's audit records, the newest first."""

    items: list[AuditRecord]
    next_cursor: str | None


class Readiness(Answer):
    """Whether a service does its work now. `gate` is closed while it reads its own facts back.

    `stopped`: for each topic that is not read on because too many of its records cannot be applied, why.
    """

    ready: bool
    gate: str
    stopped: list[str] = []
    lane: LaneState | None = None


class ReplayStretch(Answer):
    """Offsets of one partition; `until_offset` is the first that is not read."""

    partition: int
    from_offset: int
    until_offset: int


class ReplayPlan(Answer):
    """What a replay reads, at most."""

    topic: str
    records: int
    partitions: list[ReplayStretch]


class Replay(Answer):
    """A replay that was begun; over when nothing is `left`."""

    topic: str
    to_read: int
    left: int
    read: int
    newer: int
    unchanged: int
    bad: int
    empty: int


class Replays(Answer):
    """The newest replay of each topic."""

    items: list[Replay]


class DeadLetter(Answer):
    """A record that could not be applied, without what it holds."""

    topic: str
    partition: int
    offset: int
    reason: str
    error: str
    failed_at: datetime
    size_bytes: int
    settled_as: str | None
    settled_at: datetime | None
    settled_by: str | None


class DeadLetters(Answer):
    """A page of them."""

    items: list[DeadLetter]
    next_cursor: str | None


class Header(Answer):
    """A record's header; its value in base64."""

    name: str
    value: str | None


class Content(Answer):
    """What a record holds, in base64."""

    key: str | None
    value: str
    headers: list[Header]


class DeadLetterWhole(DeadLetter):
    """A dead letter; with what it holds if that was asked for."""

    content: Content | None


class DeadLettersWhole(Answer):
    """What stood at one place."""

    items: list[DeadLetterWhole]


class Settled(Answer):
    """What became of a dead letter that was redriven or discarded."""

    topic: str
    partition: int
    offset: int
    outcome: str
    reason: str | None = None
    error: str | None = None


class Settleds(Answer):
    """In the order of the places."""

    items: list[Settled]


class BlockedPage(Answer):
    """A page of what is blocked."""

    items: list[BlockedRecording]
    next_cursor: str | None = None


class HeldRequest(Answer):
    """A folder's request of which the outcome is open."""

    kind: str
    files: int


class HeldFolder(Answer):
    """A folder as transfer knows it; `held` says why it waits for a person."""

    folder_id: str
    clouds_uuid: str | None
    held: str | None
    last_error: str | None
    open_request: HeldRequest | None


class HeldFolders(Answer):
    """Some folders, in the order of their ids."""

    items: list[HeldFolder]


class WhyBlocked(Answer):
    """What blocks a recording."""

    reason: str
    message: str | None


class TransferRecording(Answer):
    """A recording as transfer knows it."""

    recording_id: str
    folder_id: str
    blocked: WhyBlocked | None


class Retried(Answer):
    """Which recordings were rejected and wait for their upload again."""

    retried: list[str]


class AdoptedRecording(Answer):
    """What became of a recording that the cloud is said to have."""

    recording_id: str
    outcome: Literal["adopted", "already", "conflict"]
    reason: str | None = None
    message: str | None = None


class AdoptedRecordings(Answer):
    """In the order in which they were asked for."""

    items: list[AdoptedRecording]
