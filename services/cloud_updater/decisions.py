"""What cloud_updater decides. Values in, values out: no database, no network, no clock."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, assert_never

from schemas.events import CloudTicketUpdated, RecordingTransferred, TicketLinked
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


def newest_links(facts: Iterable[TicketLinked], known: Mapping[str, int]) -> dict[str, TicketLinked]:
    """By recording, the link with the highest version of those newer than `known`."""
    newest: dict[str, TicketLinked] = {}
    for fact in facts:
        best = newest.get(fact.recording_id)
        if fact.link_version > (best.link_version if best else known.get(fact.recording_id, 0)):
            newest[fact.recording_id] = fact
    return newest


def newest_transfers(
    facts: Iterable[RecordingTransferred], known: Mapping[str, int]
) -> dict[str, RecordingTransferred]:
    """By recording, the transfer with the highest version of those newer than `known`."""
    newest: dict[str, RecordingTransferred] = {}
    for fact in facts:
        best = newest.get(fact.recording_id)
        if fact.transfer_version > (best.transfer_version if best else known.get(fact.recording_id, 0)):
            newest[fact.recording_id] = fact
    return newest


def newest_acknowledgements(
    facts: Iterable[CloudTicketUpdated], known: Mapping[str, tuple[int, int]]
) -> dict[str, tuple[int, int]]:
    """By recording, the highest (transfer_version, link_version) of those newer than `known`."""
    newest: dict[str, tuple[int, int]] = {}
    for fact in facts:
        order = (fact.transfer_version, fact.link_version)
        if order > newest.get(fact.recording_id, known.get(fact.recording_id, (0, 0))):
            newest[fact.recording_id] = order
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


def decide_after_push(outcome: Outcome, *, files: int, attempts: int, jitter: float) -> AfterPush:
    """What a push of `files` files led to; `attempts` failed in a row before it, `jitter` is uniform in 0 … 1."""
    match outcome:
        case Done():
            return Acknowledged()
        case RateLimited(message, retry_after_s) | NothingDone(message, retry_after_s):
            wait_s = backoff_s(attempts + 1, asked_s=retry_after_s, jitter=jitter)
            return TryLater(wait_s, may_take_effect=False, message=message)
        case Unknown(message, retry_after_s):
            wait_s = backoff_s(attempts + 1, asked_s=retry_after_s, jitter=jitter)
            return TryLater(wait_s, may_take_effect=True, message=message)
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
    """One file of a push: its bookkeeping, and its JSON as it is to be sent."""

    recording_id: str
    seq: int
    link_version: int
    file: str
    ticket: str


def push_body(files: Sequence[OwedFile], *, with_versions: bool) -> bytes:
    """The request: each file with its present ticket, null to remove it. `with_versions`: the cloud compares them."""
    parts = (
        f'{one.file[:-1]},"ticket_info":{one.ticket}'
        + (f',"link_version":{one.link_version}}}' if with_versions else "}")
        for one in files
    )
    return f'{{"files":[{",".join(parts)}]}}'.encode()
