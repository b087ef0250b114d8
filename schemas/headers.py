"""The headers of a record: which of the three forms it has, and whether its envelope is one of the event's own.

Only content-type and ce_* are read; all others are nobody's business. Most headers are as those of a record before, but
for texts that decide nothing, such as id and subject, and the time. So what they have in common is remembered: to take
each header apart and to look at it cost more than to read the event.
"""

import re
from collections import defaultdict
from datetime import datetime
from functools import cache
from random import randrange
from typing import NamedTuple

from schemas.events import Event
from schemas.raw_headers import Headers, as_name, spans, split
from schemas.undecodable import Undecodable
from schemas.varint import MORE, read_unsigned

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
REQUIRED = ("specversion", "id", "source", "type")
_TYPE = re.compile(r"(ticketsync\.[a-z-]+)\.v[0-9]+")
_DECIDING = frozenset({"content-type", "ce_specversion", "ce_type"})
# Of each event; a record is held against all of them.
REMEMBERED = 12
REMEMBERED_BYTES = 2_000


@cache
def type_of(event: type[Event]) -> str:
    """The CloudEvents type, such as ticketsync.ticket-linked.v1."""
    words = re.sub(r"(?<!^)([A-Z])", r"-\1", event.__name__).lower()
    return f"ticketsync.{words}.v{event.major_version}"


def media_type_of(raw: bytes, event: type[Event]) -> str:
    """The media type ("" if none) of a record of this event; its headers come as they stand there.

    Raises Undecodable if the envelope is none of its own.
    """
    plain = raw.isascii()
    known = _known[event]
    for alike in known:
        if alike.fits(raw, plain=plain):
            return alike.media_type
    try:
        found = _judge(split(raw), event)
    except ValueError as error:
        raise Undecodable("bad_header", str(error)) from None
    if len(raw) <= REMEMBERED_BYTES and (shared := _what_others_may_share(raw, found)):
        if len(known) < REMEMBERED:
            known.append(shared)
        else:
            known[randrange(REMEMBERED)] = shared  # noqa: S311  # any will do
    return found


_ANYTHING, _TEXT, _TIME = range(3)


class _Alike(NamedTuple):
    """What the headers of some records share, those of one that was good among them.

    `values`: of each value that differs, all that stands before it, from behind the one before to its own name, how
    many bytes that is, and what the value has to be. `rest` stands behind the last of them.
    """

    values: tuple[tuple[bytes, int, int], ...]
    rest: bytes
    media_type: str

    def fits(self, raw: bytes, *, plain: bool) -> bool:
        """Whether these are such headers, and as good. `plain`: they hold nothing but ASCII."""
        at = 0
        try:
            for before, size, must_be in self.values:
                if not raw.startswith(before, at):
                    return False
                at += size + 1
                if (length := raw[at - 1]) >= MORE:
                    length, at = read_unsigned(raw, at - 1)
                end = at if length & 1 else at + (length >> 1)  # null is -1
                if must_be:
                    if end == at:
                        return False
                    if must_be == _TIME:
                        if not _is_time(raw[at:end].decode()):
                            return False
                    elif not plain:
                        raw[at:end].decode()
                at = end
        except (IndexError, UnicodeDecodeError):
            return False
        return at + len(self.rest) == len(raw) and raw.endswith(self.rest)


_known: defaultdict[type[Event], list[_Alike]] = defaultdict(list)


def _what_others_may_share(raw: bytes, media_type: str) -> _Alike | None:
    """Of headers that are good. None: one of the envelope's comes twice, and has to say the same both times."""
    found = spans(raw)
    names = [as_name(raw[one.name]).lower() for one in found]
    read = [name for name in names if _is_read(name)]
    if len(set(read)) < len(read):
        return None
    values: list[tuple[bytes, int, int]] = []
    begin = 0
    for name, one in zip(names, found, strict=True):
        if name not in _DECIDING:
            must_be = _TEXT if _is_read(name) else _ANYTHING
            if name == "ce_time" and media_type != STRUCTURED:
                must_be = _TIME
            values.append((before := raw[begin : one.name.stop], len(before), must_be))
            begin = one.end
    return _Alike(tuple(values), raw[begin:], media_type)


def _is_read(name: str) -> bool:
    return name == "content-type" or name.startswith("ce_")


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
        if not _is_read(name):
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
    if not _is_time(text):
        raise Undecodable("bad_header", "ce_time is not a time in RFC 3339 form with an offset")


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def check_type(given: str, event: type[Event]) -> None:
    """Raise Undecodable unless this CloudEvents type is the event's."""
    expected = type_of(event)
    if given == expected:
        return
    name = _TYPE.fullmatch(given)
    if name and expected.startswith(f"{name[1]}.v"):
        raise Undecodable("unknown_version", f"only {expected} is known here")
    raise Undecodable("unknown_type", f"only {expected} belongs here")
