"""What cloud_updater decides. Values in, values out: no database, no network, no clock."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import NamedTuple, assert_never

from schemas.events import CloudTicketUpdated, RecordingTransferred
from shared.backoff import backoff_s
from shared.outcome import (
    Done,
    Invalid,
    NoFolder,
    NoRoute,
    NothingDone,
    Outcome,
    RateLimited,
    Refused,
    TooLarge,
    Unauthorized,
    Unknown,
)

NO_ROUTE_WAIT_S = 60.0
LANE_WAIT_S = 1.0
MAX_FILES = 500
# Rows that one step of a resync may change, but for a single larger folder.
RESYNC_RECORDINGS_AT_ONCE = 20_000


def newest_transfers(facts: Iterable[RecordingTransferred]) -> list[RecordingTransferred]:
    """Of each recording the transfer with the highest version."""
    newest: dict[str, RecordingTransferred] = {}
    for fact in facts:
        if fact.transfer_version > newest.setdefault(fact.recording_id, fact).transfer_version:
            newest[fact.recording_id] = fact
    return list(newest.values())


def newest_acknowledgements(facts: Iterable[CloudTicketUpdated]) -> dict[str, tuple[int, int]]:
    """By recording, the highest (transfer_version, link_version)."""
    newest: dict[str, tuple[int, int]] = {}
    for fact in facts:
        order = (fact.transfer_version, fact.link_version)
        newest[fact.recording_id] = max(order, newest.get(fact.recording_id, order))
    return newest


def counts_as_asked_at(*, requested_at: datetime, appended_at: datetime) -> datetime:
    """When something was asked for: as the sender says, but never after the broker had it."""
    return min(requested_at, appended_at)


@dataclass(frozen=True)
class Acknowledged:
    """The cloud shows what was sent."""


@dataclass(frozen=True)
class TryLater:
    """Push again after `wait_s`. `may_take_effect`: what was sent may yet reach the cloud, after something newer."""

    wait_s: float
    may_take_effect: bool
    message: str


@dataclass(frozen=True)
class RejectFiles:
    """These files (their places in the request) will never be accepted; the others go again."""

    messages: Mapping[int, str]


@dataclass(frozen=True)
class Narrow:
    """The request is not acceptable and nothing says why: halve it until the file that is to blame stands alone."""

    limit: int
    message: str


@dataclass(frozen=True)
class FolderMissing:
    """The cloud has lost the folder."""

    message: str


NotAcknowledged = TryLater | RejectFiles | Narrow | FolderMissing
AfterPush = Acknowledged | NotAcknowledged


def decide_after_push(outcome: Outcome, *, files: int, attempts: int, probe: bool, jitter: float) -> AfterPush:
    """What a push of `files` files led to; `attempts` failed in a row before it, `jitter` is uniform in 0 … 1.

    `probe`: it was let through to find out whether anything goes. One that is refused although everything else went
    may be refused alone, and waits longer each time, so that it does not stop the others for ever.
    """
    match outcome:
        case Done():
            return Acknowledged()
        case RateLimited(message, retry_after_s) | NothingDone(message, retry_after_s):
            wait_s = backoff_s(attempts + 1, asked_s=retry_after_s, jitter=jitter)
            return TryLater(wait_s, may_take_effect=False, message=message)
        case Unknown(message, retry_after_s):
            wait_s = backoff_s(attempts + 1, asked_s=retry_after_s, jitter=jitter)
            return TryLater(wait_s, may_take_effect=True, message=message)
        case Unauthorized(message) | NoRoute(message) if not probe:
            wait_s = backoff_s(attempts + 1, asked_s=None, jitter=jitter)
            return TryLater(wait_s, may_take_effect=False, message=message)
        case Unauthorized(message):
            return TryLater(LANE_WAIT_S, may_take_effect=False, message=message)
        case NoRoute(message):
            return TryLater(NO_ROUTE_WAIT_S, may_take_effect=False, message=message)
        case NoFolder(message):
            return FolderMissing(message)
        case Invalid(message, errors):
            named = {place: text for place, text in errors.items() if place < files}
            return RejectFiles(named) if named else _narrow(files, message)
        case TooLarge(message) | Refused(message):
            return _narrow(files, message)
        case _:
            assert_never(outcome)


def _narrow(files: int, message: str) -> RejectFiles | Narrow:
    return RejectFiles({0: message}) if files == 1 else Narrow(files // 2, message)


class OwedFile(NamedTuple):
    """One file of a push: which recording's it is, at which seq, and the link that it carries."""

    recording_id: str
    seq: int
    link_version: int


@dataclass(frozen=True, kw_only=True)
class Selection:
    """What a resync is to look at: these recordings, this folder, or everything if both are None."""

    force: bool
    recording_ids: Collection[str] | None = None
    folder_id: str | None = None


@dataclass(frozen=True, kw_only=True)
class OpenRequest(Selection):
    """A resync that is not carried out in full; done up to `after_uuid`, folders being in order of their uuids.

    `turn_at`: when it last made something owed, or else came: what was due by then has its turn before the next of it.
    """

    request_id: str
    after_uuid: str
    rate_per_minute: int | None
    turn_at: datetime


class Share(NamedTuple):
    """What a resync selects in one folder; `blocked`: those of `to_push` that something keeps from the cloud now."""

    clouds_uuid: str
    recordings: int
    no_ticket: int
    to_push: int
    blocked: int

    @property
    def requests(self) -> int:
        """Requests to the cloud, if no file is so large that fewer fit into one."""
        return ceil(self.to_push / MAX_FILES)


@dataclass(frozen=True)
class ResyncLot:
    """The folders of the next step, and how long to wait before the one after it."""

    shares: Sequence[Share]
    wait_s: float


def decide_resync_lot(shares: Sequence[Share], *, rate_per_minute: int | None) -> ResyncLot:
    """As many folders, in their order, as one transaction may hold and the rate lets go in a second; one at least."""
    requests_max = max(1, rate_per_minute // 60) if rate_per_minute else RESYNC_RECORDINGS_AT_ONCE
    recordings = requests = 0
    taken: list[Share] = []
    for share in shares:
        recordings, requests = recordings + share.recordings, requests + share.requests
        if taken and (recordings > RESYNC_RECORDINGS_AT_ONCE or requests > requests_max):
            break
        taken.append(share)
    sent = sum(share.requests for share in taken)
    return ResyncLot(taken, sent * 60 / rate_per_minute if rate_per_minute else 0.0)
