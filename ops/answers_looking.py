"""The services' answers to whoever looks closely, as far as the commands read them; see ops/answers.py."""

from datetime import datetime
from typing import Any, Literal

from ops.answers import Answer

Verdict = Literal["in_sync", "stale", "ticket_mismatch", "missing_in_cloud", "extra_in_cloud"]


class Page(Answer):
    """A page of a list, whatever it lists; the last one has no cursor."""

    items: list[dict[str, Any]]
    next_cursor: str | None = None


class PartitionLag(Answer):
    """How far a service is behind in one partition; see its API."""

    topic: str
    partition: int
    next_offset: int
    end_offset: int
    behind: int
    unread_since: datetime | None
    last_minute: int


class Lag(Answer):
    """How far a service is behind its topics."""

    at: datetime
    partitions: list[PartitionLag]


class DatabaseAbout(Answer):
    """A service's own database, as the service sees it."""

    version: str
    size_bytes: int
    ahead_s: float


class CloudPing(Answer):
    """What a service's ping to the cloud led to."""

    answers: bool
    outcome: str
    message: str | None
    ahead_s: float | None
    capabilities: list[str]


class About(Answer):
    """A service and what it rests on."""

    version: str
    python: str
    now: datetime
    database: DatabaseAbout
    cloud: CloudPing | None


class CloudFolder(Answer):
    """A folder in the cloud, as cloud_updater knows it."""

    clouds_uuid: str
    folder_id: str
    recordings: int


class Compared(Answer):
    """A recording, or a file of the cloud that is none, with what was found there."""

    recording_id: str | None
    filename: str
    verdict: Verdict
    link_version: int
    shown_link_version: int | None
    shown_ticket_id: str | None


class Verification(Answer):
    """What a folder shows. `observed`: by the cloud itself, and not only by what it has acknowledged."""

    folder_id: str
    observed: bool
    counts: dict[Verdict, int]
    items: list[Compared]


class CloudRecording(Answer):
    """Where a recording is in the cloud."""

    recording_id: str
    clouds_uuid: str | None
