"""The headers of a record: which of the three forms it has, and whether its envelope is one of the event's own.

Only content-type and ce_* are read; all others are nobody's business. Records of one publisher differ in id, subject
and time alone, so what the others say is remembered: to look at each anew cost more than to read the event.
"""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache, lru_cache
from operator import itemgetter

from schemas.events import Event
from schemas.undecodable import Undecodable

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
REQUIRED = ("specversion", "id", "source", "type")
_TYPE = re.compile(r"(ticketsync\.[a-z-]+)\.v[0-9]+")
_OWN = frozenset({"ce_id", "ce_subject", "ce_time"})
REMEMBERED_BYTES = 200
REMEMBERED_HEADERS = 10

Headers = Sequence[tuple[str, bytes | None]]
Pick = Callable[[Headers], tuple[tuple[str, bytes | None], ...]]


@cache
def type_of(event: type[Event]) -> str:
    """The CloudEvents type, such as ticketsync.ticket-linked.v1."""
    words = re.sub(r"(?<!^)([A-Z])", r"-\1", event.__name__).lower()
    return f"ticketsync.{words}.v{event.major_version}"


class _UnlikeOthers(Exception):
    """To be looked at one by one, in order, and not to be remembered."""


def media_type_of(headers: Headers, event: type[Event]) -> str:
    """The media type ("" if none) of a record of this event. Raises Undecodable if the envelope is none of its own."""
    try:
        return _mostly_known(headers, event)
    except (Undecodable, _UnlikeOthers):
        return _judge(tuple(headers), event)  # which says what is wrong with the first that is


def _mostly_known(headers: Headers, event: type[Event]) -> str:
    """The same where all but id, subject and time is as it was in a record before."""
    alike, own = _pick(tuple([name for name, _ in headers]))
    found = _judge_alike(alike(headers), event)
    for name, raw in own(headers):
        text = _header_text(name, raw)
        if name == "ce_time":
            _check_time(text)
    return found


@lru_cache(maxsize=256)
def _pick(names: tuple[str, ...]) -> tuple[Pick, Pick]:
    """Takes what records have in common, and what each has for itself."""
    alike = [place for place, name in enumerate(names) if name not in _OWN and name != "traceparent"]
    own = [place for place, name in enumerate(names) if name in _OWN]
    plain = all(name.islower() for name in names) and len(set(names)) == len(names)
    short = len(alike) <= REMEMBERED_HEADERS and len("".join(names)) <= REMEMBERED_BYTES
    if not (plain and short and alike and "ce_id" in names):
        raise _UnlikeOthers
    # The first of each twice: of one place alone `itemgetter` makes no tuple.
    return itemgetter(alike[0], *alike), itemgetter(own[0], *own)


def _judge(headers: tuple[tuple[str, bytes | None], ...], event: type[Event]) -> str:
    content_type, attributes = _read_headers(headers)
    if content_type != STRUCTURED:
        check_is_json(content_type)
        if attributes:
            _check_attributes(attributes, event)
    return content_type


@lru_cache(maxsize=256)  # what is refused is not remembered
def _judge_alike(headers: tuple[tuple[str, bytes | None], ...], event: type[Event]) -> str:
    if not all(raw and len(raw) <= REMEMBERED_BYTES for _, raw in headers):
        raise _UnlikeOthers
    return _judge((*headers, ("ce_id", b"_")), event)


def _read_headers(headers: Headers) -> tuple[str, dict[str, str]]:
    """The media type ("" if none) and the CloudEvents attributes; all other headers are nobody's business."""
    content_type = ""
    attributes: dict[str, str] = {}
    for raw_name, raw in headers:
        name = raw_name.lower()
        if name != "content-type" and not name.startswith("ce_"):
            continue
        if not name.isascii():
            # No attribute's name: it may be one that was damaged, or that was no text at all (shared/header_names.py).
            raise Undecodable("bad_header", "the name of a ce_ header is not ASCII")
        text = _header_text(name, raw)
        if name == "content-type":
            content_type = media_type(text)
        elif attributes.setdefault(name[3:], text) != text:
            raise Undecodable("bad_header", f"{_shown(name)} stands there twice")
    return content_type, attributes


def _header_text(name: str, raw: bytes | None) -> str:
    if not raw:
        raise Undecodable("bad_header", f"{_shown(name)} has no value")
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise Undecodable("bad_header", f"{_shown(name)} is not UTF-8") from None


def media_type(text: str) -> str:
    """application/json of "Application/JSON; charset=utf-8"."""
    return text.partition(";")[0].strip().lower()


def _shown(name: str) -> str:
    """A header's name, safe to print: names come from strangers too."""
    return ascii(name[:40])


def check_is_json(content_type: str) -> None:
    """Raise Undecodable if a value of this media type is none that can be read here; "" says nothing."""
    if content_type in ("", JSON, "text/json"):
        return
    if content_type.startswith("application/cloudevents") or not content_type.endswith("+json"):
        raise Undecodable("bad_header", "content-type is neither JSON nor a CloudEvent in JSON")


def _check_attributes(attributes: dict[str, str], event: type[Event]) -> None:
    missing = [name for name in REQUIRED if name not in attributes]
    if missing:
        raise Undecodable("bad_envelope", f"missing: {', '.join(missing)}")
    if attributes["specversion"] != "1.0":
        raise Undecodable("bad_envelope", "specversion is not 1.0")
    if "time" in attributes:
        _check_time(attributes["time"])
    check_type(attributes["type"], event)


def _check_time(text: str) -> None:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise Undecodable("bad_header", "ce_time is not a time in RFC 3339 form with an offset")


def check_type(given: str, event: type[Event]) -> None:
    """Raise Undecodable unless this CloudEvents type is the event's."""
    expected = type_of(event)
    if given == expected:
        return
    name = _TYPE.fullmatch(given)
    if name and expected.startswith(f"{name[1]}.v"):
        raise Undecodable("unknown_version", f"only {expected} is known here")
    raise Undecodable("unknown_type", f"only {expected} belongs here")
