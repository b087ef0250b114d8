"""The headers of a record: which of the three forms it has, and whether its envelope is one of the event's own.

Only content-type and ce_* are read; all others are nobody's business. Most headers are as those of a record before, but
for texts that decide nothing, such as id and subject, and the time. Such are known again (schemas/known_headers.py): to
take each header apart and to look at it cost more than to read the event.
"""

import re
from collections import defaultdict
from functools import cache

from schemas.events import Event
from schemas.known_headers import REMEMBERED_BYTES, KnownHeaders, is_read, is_time
from schemas.raw_headers import Headers, spans, split
from schemas.undecodable import Undecodable

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
REQUIRED = ("specversion", "id", "source", "type")
_TYPE = re.compile(r"(ticketsync\.[a-z-]+)\.v[0-9]+")


@cache
def type_of(event: type[Event]) -> str:
    """The CloudEvents type, such as ticketsync.ticket-linked.v1."""
    words = re.sub(r"(?<!^)([A-Z])", r"-\1", event.__name__).lower()
    return f"ticketsync.{words}.v{event.major_version}"


def media_type_of(raw: bytes, event: type[Event]) -> str:
    """The media type ("" if none) of a record of this event; its headers come as they stand there.

    Raises Undecodable if the envelope is none of its own.
    """
    known = _known[event]
    found = known.media_type(raw)
    if found is None:
        try:
            headers = split(raw)
        except ValueError as error:
            raise Undecodable("bad_header", str(error)) from None
        found = _judge(headers, event)
        names = [name.lower() for name, _ in headers]
        read = [name for name in names if is_read(name)]
        # One of the envelope's that comes twice has to say the same both times.
        if len(raw) <= REMEMBERED_BYTES and len(set(read)) == len(read):
            known.remember(raw, list(zip(names, spans(raw), strict=True)), found)
    return found


_known: defaultdict[type[Event], KnownHeaders] = defaultdict(KnownHeaders)


def _judge(headers: Headers, event: type[Event]) -> str:
    content_type, attributes = _read_headers(headers)
    if content_type != STRUCTURED:
        check_is_json(content_type)
        if attributes:
            _check_attributes(attributes, event)
    return content_type


def _read_headers(headers: Headers) -> tuple[str, dict[str, str]]:
    """The media type ("" if none) and the CloudEvents attributes; all other headers are nobody's business."""
    content_type = ""
    attributes: dict[str, str] = {}
    for raw_name, raw in headers:
        name = raw_name.lower()
        if not is_read(name):
            continue
        if not name.isascii():
            # No attribute's name: it may be one that was damaged, or that was no text at all (schemas/raw_headers.py).
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
    if not is_time(text):
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
