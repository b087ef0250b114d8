"""What the services say of themselves and of all recordings."""

from datetime import datetime

from pydantic import Field

from ops.answers import Answer, Blocked, PageOf, State


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


class BlockedRecordings(PageOf[BlockedRecording]):
    """A page of what is blocked; those that need a person come first."""


class LaneOpen(Answer):
    """Whether requests may be sent to the cloud, and why not. What the cloud said stands in `LaneState` alone."""

    open: bool
    reason: str | None


class DatabaseAnswers(Answer):
    """Whether a service's database answers it, and how long ago it did."""

    answers: bool
    answered_s: float


class Readiness(Answer):
    """Whether a service does its work now. `gate` is closed while it reads its own facts back.

    `stopped`: for each topic that is not read on because too many of its records cannot be applied, why.
    """

    ready: bool
    gate: str
    stopped: list[str] = Field(default_factory=list)
    database: DatabaseAnswers | None = None
    lane: LaneOpen | None = None
