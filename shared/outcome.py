"""What one call to the cloud proves, as far as its answer says.

    Outcome
    ├── Done          it had its effect; `data` is the answer's JSON
    ├── NothingDone   it had none; try again
    │   └── RateLimited   nor will any other request before a time
    ├── Unknown       it may have had its effect, or may yet have
    ├── Unauthorized  the token is wrong, whatever the request
    ├── NoRoute       the route is missing, whatever the request
    ├── NoFolder      the cloud does not have the folder
    ├── TooLarge      the request must be smaller
    ├── Invalid       files of it are not acceptable; `errors` names them, if the cloud does
    └── Refused       it will never be accepted as it is

Pure: an answer in, an outcome out, and nothing that an answer holds makes it raise. Sources: the cloud's HTTP contract
in docs/cloud.md; RFC 9110 on Retry-After.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

LONGEST_WAIT_S = 900.0
MAX_MESSAGE = 300

# 5xx of a repeatable request that leave no request on its way. Of the others (502, 504, those of a CDN) nobody knows.
_ANSWERED_FAILURES = {408, 425, 500, 501, 505, 507, 508}


@dataclass(frozen=True)
class Done:
    """It had its effect."""

    data: Mapping[str, Any]


@dataclass(frozen=True)
class NothingDone:
    """It had none. `retry_after_s`: what the cloud asks to wait, if it does."""

    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True)
class RateLimited(NothingDone):
    """It had none, and nor will any other request with this token before a time."""


@dataclass(frozen=True)
class Unknown:
    """It may have had its effect, or may yet have."""

    message: str
    retry_after_s: float | None = None


@dataclass(frozen=True)
class Unauthorized:
    """The token is wrong, whatever the request."""

    message: str


@dataclass(frozen=True)
class NoRoute:
    """The route is missing, whatever the request."""

    message: str


@dataclass(frozen=True)
class NoFolder:
    """The cloud does not have the folder."""

    message: str


@dataclass(frozen=True)
class TooLarge:
    """The request must be smaller."""

    message: str


@dataclass(frozen=True)
class Invalid:
    """Files are not acceptable; `errors` says why by their place in the request, as far as the cloud names them."""

    message: str
    errors: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Refused:
    """It will never be accepted as it is."""

    message: str


Outcome = Done | NothingDone | RateLimited | Unknown | Unauthorized | NoRoute | NoFolder | TooLarge | Invalid | Refused


@dataclass(frozen=True)
class Answer:
    """What came back. `body` is None unless it was JSON; `empty`: only white space or JSON's null came."""

    status: int
    headers: Mapping[str, str]
    body: Any
    empty: bool


def classify(answer: Answer, *, repeatable: bool, now: datetime) -> Outcome:  # noqa: C901  # one row of the table each
    """What an answer proves. `repeatable` requests (update-ticket) can be sent again whatever happened."""
    status, message = answer.status, f"{answer.status}: {_message(answer)}"
    wait_s = _retry_after_s(answer, now)
    if 200 <= status < 300:  # noqa: PLR2004
        return _success(answer, repeatable=repeatable)
    if status == 503 or (repeatable and status in _ANSWERED_FAILURES):  # noqa: PLR2004
        return NothingDone(message, wait_s)
    if status in {408, 425, 409} or status >= 500 or status < 400:  # noqa: PLR2004
        return Unknown(message, wait_s)
    match status:
        case 429:
            return RateLimited(message, wait_s)
        case 401 | 403:
            return Unauthorized(message)
        case 404 | 405:
            return NoRoute(message)
        case 400 if _says(answer, "Recording not found"):
            return NoFolder(message)
        case 413:
            return TooLarge(message)
        case 422 if _says(answer, "Idempotency-Key reused"):
            return Unknown(message, wait_s)
        case 422:
            return Invalid(message, _file_errors(answer.body))
        case _:
            return Refused(message)


def _success(answer: Answer, *, repeatable: bool) -> Outcome:
    if isinstance(answer.body, dict):
        if answer.body.get("error") or answer.body.get("errors"):
            return Unknown(f"{answer.status} with an error: {_message(answer)}")
        return Done(answer.body)
    # Any other JSON, such as the [] that PHP makes of an empty object, or none at all.
    if repeatable and (answer.empty or answer.body is not None):
        return Done({})
    return Unknown(f"{answer.status} without the documented answer")


def _says(answer: Answer, message: str) -> bool:
    return isinstance(answer.body, dict) and answer.body.get("message") == message


def _message(answer: Answer) -> str:
    if not isinstance(answer.body, dict):
        return "no message in the answer"
    for said in (answer.body.get("message"), answer.body.get("status")):
        if said and isinstance(said, str | int):
            return one_line(said)[:MAX_MESSAGE]
    return "no message in the answer"


def one_line(said: object) -> str:
    """Text that can be stored and shown, whatever the cloud sent: no control characters, no lone surrogates, and every
    white space as one blank.
    """
    text = str(said).encode("utf-8", "replace").decode()
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text).split())


def _file_errors(body: Any) -> dict[int, str]:  # noqa: ANN401  # whatever JSON the cloud sent
    """`errors` of a 422 by the place of the file they name: {"files.0.token": ["must be an integer"]} → {0: …}."""
    errors = body.get("errors") if isinstance(body, dict) else None
    found: dict[int, str] = {}
    for name, texts in errors.items() if isinstance(errors, dict) else ():
        named = re.fullmatch(r"files\.([0-9]{1,6})(?:\.(.+))?", name, re.DOTALL)
        if named:
            text = texts[0] if isinstance(texts, list) and texts else texts
            said = text if isinstance(text, str | int) else "is not accepted"
            found.setdefault(int(named[1]), one_line(f"{named[2] or 'file'}: {said}")[:MAX_MESSAGE])
    return found


def _retry_after_s(answer: Answer, now: datetime) -> float | None:
    """Seconds to wait as the cloud asks: header as seconds or date, else `retry_after` in the body; garbage is None."""
    header = answer.headers.get("retry-after")
    said = answer.body.get("retry_after") if isinstance(answer.body, dict) else None
    for value in (header, said):
        seconds = _seconds(value, now)
        if seconds is not None:
            return min(max(seconds, 0.0), LONGEST_WAIT_S)
    return None


def _seconds(value: object, now: datetime) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return min(value, LONGEST_WAIT_S) if math.isfinite(min(value, LONGEST_WAIT_S)) and value >= 0 else None
    if not isinstance(value, str):
        return None
    if re.fullmatch(r"\s*[0-9]+(\.[0-9]+)?\s*", value):
        return min(float(value), LONGEST_WAIT_S)
    try:
        moment = parsedate_to_datetime(value)
        aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return aware.timestamp() - now.timestamp()
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
