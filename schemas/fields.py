"""The kinds of value that events are made of, each as narrow as the column it ends in.

A value that these types accept can be stored by PostgreSQL and sent to the cloud as it is. All limits on text count
characters (code points), as PostgreSQL does. Patterns are plain enough for JSON Schema, so publishers in other
languages get the same rules.
"""

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, NewType, TypeVar

from pydantic import (
    AwareDatetime,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)

RecordingId = NewType("RecordingId", str)
FolderId = NewType("FolderId", str)
CloudsUuid = NewType("CloudsUuid", str)
RequestId = NewType("RequestId", str)
ImportId = NewType("ImportId", str)

INT32_MAX = 2**31 - 1
INT64_MAX = 2**63 - 1

# PostgreSQL cannot store NUL in text. Lone surrogates need no pattern: they are refused before any pattern is tried.
_NO_NUL = r"^[^\x00]*$"
_NO_CONTROL = r"^[^\x00-\x1f\x7f-\x9f]*$"
# http or https, a host (a name or an IPv6 address in brackets), perhaps a port, no user part; never a space or control.
_HTTP_URL = (
    r"^[Hh][Tt][Tt][Pp][Ss]?://"
    r"(\[[0-9A-Fa-f:.]+\]|[^\s\x00-\x1f\x7f-\x9f/?#@:\\\[\]]+)(:[0-9]{1,5})?"
    r"([/?#][^\s\x00-\x1f\x7f-\x9f]*)?$"
)
_IN_UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z", re.ASCII).fullmatch
# Nothing longer is looked up, so that no long text is remembered.
_LONGEST_IN_UTC = len("2025-01-29T12:00:00.000000Z")
# What to tell people who cannot read the patterns.
PATTERNS_IN_WORDS = {
    _NO_NUL: "Text should not hold a NUL character",
    _NO_CONTROL: "Text should not hold control characters",
    _HTTP_URL: "Address should be absolute, http or https, without user, password, spaces and control characters",
}


def _utc(value: object, parse: ValidatorFunctionWrapHandler) -> datetime:
    """An aware datetime in UTC. Numbers are refused: nobody can tell seconds from milliseconds."""
    if isinstance(value, str) and len(value) <= _LONGEST_IN_UTC and (known := _as_most_write_it(value)):
        return known
    # The dash after the year tells a date from digits in quotes, which pydantic would take for a number.
    if not (isinstance(value, datetime) or (isinstance(value, str) and value[4:5] == "-")):
        raise ValueError("a time is text in RFC 3339 form with an offset")
    time: datetime = parse(value)
    if time.tzinfo is UTC:
        return time
    try:
        return time.astimezone(UTC)
    except OverflowError:
        raise ValueError("a time in UTC lies in the years 1 to 9999") from None


@lru_cache(maxsize=64)  # the facts of one import are of one moment
def _as_most_write_it(text: str) -> datetime | None:
    """In half the time of the way that also knows all other forms; None if it is one of these, or no time at all."""
    try:
        return datetime.fromisoformat(text) if _IN_UTC(text) else None
    except ValueError:
        return None  # no such day or time; `_utc` says so in pydantic's own words


def _is_none(value: object) -> bool:
    return value is None


def _none_if_empty(value: object) -> object:
    return None if value == "" else value


T = TypeVar("T")

# A field that may be missing; without a value it is left out of the JSON, and null is read as missing.
Maybe = Annotated[T | None, Field(exclude_if=_is_none)]
# The same for what people type into forms: an empty text is no value.
MaybeBlank = Annotated[T | None, BeforeValidator(_none_if_empty), Field(exclude_if=_is_none)]

Instant = Annotated[AwareDatetime, WrapValidator(_utc)]

Version = Annotated[int, Field(strict=True, ge=1, le=INT32_MAX)]
VersionOrZero = Annotated[int, Field(strict=True, ge=0, le=INT32_MAX)]
Count = Annotated[int, Field(strict=True, ge=0, le=INT64_MAX)]
Flag = Annotated[bool, Field(strict=True)]

_Id = StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL)
ARecordingId = Annotated[RecordingId, _Id]
AFolderId = Annotated[FolderId, _Id]
ARequestId = Annotated[RequestId, _Id]
AnImportId = Annotated[ImportId, _Id]
ACloudsUuid = Annotated[CloudsUuid, StringConstraints(min_length=1, max_length=500, pattern=_NO_NUL)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=_NO_NUL)]
Actor = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_NUL)]
Transcript = Annotated[str, StringConstraints(min_length=1, pattern=_NO_NUL)]

# What is shown to people in the cloud: no control characters either.
Text100 = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=_NO_CONTROL)]
Text255 = Annotated[str, StringConstraints(min_length=1, max_length=255, pattern=_NO_CONTROL)]
Text500 = Annotated[str, StringConstraints(min_length=1, max_length=500, pattern=_NO_CONTROL)]
TicketUrl = Annotated[str, StringConstraints(min_length=1, max_length=2048, pattern=_HTTP_URL)]
