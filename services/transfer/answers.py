"""What the cloud's answer to an upload means: for the request, for its recordings, for its folder.

In: the classified outcome and what was sent. Out: one of a closed union. Pure. The rule that everything rests on: a
request that may have had its effect is never given up for a new one; it is repeated as it is, or an operator decides,
also if a repeat is refused: that does not say what became of the sending before.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, assert_never

from pydantic import TypeAdapter, ValidationError

from schemas.fields import ACloudsUuid, CloudsUuid, RecordingId
from services.transfer.lots import MAX_FILES, Kind
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

# The cloud remembers a key for 24 h at least; a repeat must get there within them.
KEY_LIFE = timedelta(hours=24) - timedelta(minutes=1)
GIVEN_UP_BEGINS = "given_up: "
_UUID: TypeAdapter[CloudsUuid] = TypeAdapter(ACloudsUuid)


@dataclass(frozen=True)
class SendAgain:
    """Exactly the frozen bytes, under the same key."""


@dataclass(frozen=True)
class Hold:
    """The folder waits for an operator."""

    reason: Literal["keys_not_honoured", "key_expired", "repeat_refused"]


AfterUnknown: TypeAlias = SendAgain | Hold


def decide_unrecorded_outcome(
    *, keys_honoured: bool, first_sent_at: datetime, resend_unknown: bool, now: datetime
) -> AfterUnknown:
    """What to do with an upload of which nobody knows the outcome.

    A repeat is harmless only if the cloud honoured the key when the request was first sent, honours keys to this day
    and still remembers it; otherwise the folder or its files would be there twice, and an operator has to look.
    `resend_unknown` is an operator's standing order to take that risk.
    """
    if resend_unknown:
        return SendAgain()
    if not keys_honoured:
        return Hold("keys_not_honoured")
    if now - first_sent_at >= KEY_LIFE:
        return Hold("key_expired")
    return SendAgain()


@dataclass(frozen=True)
class Sent:
    """A request that was sent. `repeated`: an earlier attempt may have had its effect. `failures`: of this folder, in a
    row, before this. `max_files`: how many files the folder's requests may have at present. `probe`: it was let through
    to find out whether anything goes."""

    kind: Kind
    clouds_uuid: CloudsUuid | None
    recording_ids: tuple[RecordingId, ...]
    keys_honoured: bool
    first_sent_at: datetime
    repeated: bool
    failures: int
    max_files: int
    probe: bool


@dataclass(frozen=True)
class Transferred:
    """The files are in the cloud, in this folder."""

    clouds_uuid: CloudsUuid
    max_files: int


@dataclass(frozen=True)
class Release:
    """Nothing was done: the request is closed, its recordings go into a new one after `wait_s`."""

    message: str
    wait_s: float


@dataclass(frozen=True)
class Narrow:
    """The cloud refuses the request as it is: `rejected` stay out of the next one, which has at most `max_files`.

    `newer_too`: also what of them came after the request was frozen. The cloud has not seen that, an operator may have.
    """

    message: str
    rejected: Mapping[RecordingId, str]
    max_files: int
    newer_too: bool = False


@dataclass(frozen=True)
class Repeat:
    """It may have had its effect: the same bytes under the same key again, after `wait_s`."""

    message: str
    wait_s: float


@dataclass(frozen=True)
class HoldRequest:
    """It may have had its effect and must not be repeated: the folder waits for an operator, the request stays open."""

    message: str
    why: Hold

    @property
    def in_words(self) -> str:
        """What an operator reads."""
        match self.why.reason:
            case "keys_not_honoured":
                return f"{self.message}; not repeated, because the cloud honours no idempotency keys"
            case "key_expired":
                return f"{self.message}; not repeated any more, because the cloud may have forgotten its key"
            case "repeat_refused":
                return f"{self.message}; this refuses a repeat, the first sending may have had its effect"
            case never:
                assert_never(never)


@dataclass(frozen=True)
class FolderMissing:
    """The cloud has lost the folder: the request is closed, the folder waits for an operator."""

    message: str


Conclusion: TypeAlias = Transferred | Release | Narrow | Repeat | HoldRequest | FolderMissing


def as_documented(outcome: Outcome, kind: Kind) -> Outcome:
    """A success that is not the documented one proves nothing: it is an unknown outcome."""
    match outcome:
        case Done(data) if kind == "create" and _clouds_uuid(data) is None:
            return Unknown("an answer without the folder's uuid")
        case Done(data) if kind == "inject" and data.get("status") != 200:  # noqa: PLR2004  # the contract's own word
            return Unknown("an answer without the documented status")
        case _:
            return outcome


def decide_conclusion(
    outcome: Outcome, sent: Sent, *, resend_unknown: bool, jitter: float, now: datetime
) -> Conclusion:
    """What follows. `jitter` is a random number in [0, 1)."""
    match as_documented(outcome, sent.kind):
        case Done(data):
            return Transferred(sent.clouds_uuid or _UUID.validate_python(_clouds_uuid(data)), _wider(sent.max_files))
        case Unknown(message, retry_after_s):
            return _unknown(message, retry_after_s, sent, resend_unknown=resend_unknown, jitter=jitter, now=now)
        case Unauthorized(message) | NoRoute(message) if not sent.probe:
            # Everything went before it, so it may be refused alone: not to stop the others for ever, it waits.
            return _not_done(message, backoff_s(sent.failures + 1, asked_s=None, jitter=jitter), sent)
        case RateLimited(message) | Unauthorized(message) | NoRoute(message):
            # Not this folder's fault: the lane stops, and says when anything goes again.
            return _not_done(message, 0, sent)
        case NothingDone(message, retry_after_s):
            return _not_done(message, backoff_s(sent.failures + 1, asked_s=retry_after_s, jitter=jitter), sent)
        case (NoFolder() | Invalid() | TooLarge() | Refused()) as refusal if sent.repeated:
            # It may come from something in front of the cloud, whatever became of the first sending.
            return HoldRequest(refusal.message, Hold("repeat_refused"))
        case NoFolder(message) if sent.kind == "inject":
            return FolderMissing(message)
        case Invalid(message, errors):
            return _narrow(message, errors, sent)
        case NoFolder(message) | TooLarge(message) | Refused(message):
            return _narrow(message, {}, sent)
        case never:
            assert_never(never)


def _unknown(
    message: str, retry_after_s: float | None, sent: Sent, *, resend_unknown: bool, jitter: float, now: datetime
) -> Repeat | HoldRequest:
    decision = decide_unrecorded_outcome(
        keys_honoured=sent.keys_honoured, first_sent_at=sent.first_sent_at, resend_unknown=resend_unknown, now=now
    )
    match decision:
        case SendAgain():
            return Repeat(message, backoff_s(sent.failures + 1, asked_s=retry_after_s, jitter=jitter))
        case Hold():
            return HoldRequest(message, decision)
        case never:
            assert_never(never)


def _not_done(message: str, seconds: float, sent: Sent) -> Release | Repeat:
    """This attempt did nothing; that says nothing of an earlier one."""
    return Repeat(message, seconds) if sent.repeated else Release(message, seconds)


def _narrow(message: str, errors: Mapping[int, str], sent: Sent) -> Narrow:
    """Reject the files that the cloud names; if it names none, halve until the one that it refuses is alone."""
    named = {sent.recording_ids[index]: error for index, error in errors.items() if index < len(sent.recording_ids)}
    if named:
        return Narrow(message, named, sent.max_files)
    if len(sent.recording_ids) == 1:
        return Narrow(message, {sent.recording_ids[0]: message}, sent.max_files)
    return Narrow(message, {}, len(sent.recording_ids) // 2)


def _wider(max_files: int) -> int:
    return min(max_files * 2, MAX_FILES)


def _clouds_uuid(data: Mapping[str, Any]) -> CloudsUuid | None:
    inner = data.get("data")
    try:
        return _UUID.validate_python(inner.get("uuid"), strict=True) if isinstance(inner, dict) else None
    except ValidationError:
        return None
