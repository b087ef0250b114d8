"""What a resync would do, and how those that run get on."""

from datetime import datetime
from typing import Literal

from ops.answers import Answer, PageOf


class ResyncPlan(Answer):
    """What a resync would do, by recordings; see POST /resyncs/plan of cloud_updater."""

    to_send: int
    blocked: int
    in_sync: int
    no_ticket: int
    not_transferred: int | None
    requests: int
    folders_before: int = 0
    wait_s: float | None = None
    expected_s: float | None
    not_known_as: Literal["way_is_stopped", "nothing_was_sent"] | None = None


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
    """The same, and how far it is; `owed`: of its recordings, those that are still to be pushed; `refused`: those that
    the cloud refuses, or whose folder it has lost; `folders_before`: those whose turn is before its next step.
    """

    folders: int
    folders_done: int
    owed: int
    refused: int
    folders_before: int = 0


class Resyncs(PageOf[Resync]):
    """A page of resyncs, the newest first."""
