"""The headers of a record: which of the three forms it has, and whether its envelope is one of the event's own.

Only content-type and ce_* are read; all others are nobody's business. The headers of one publisher differ in texts that
decide nothing, such as id and subject, and in the time. What they have in common is known again as it stands: to take
each header apart and to look at it cost more than to read the event.
"""

import re
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import NamedTuple

from schemas.events import Event
from schemas.raw_headers import Headers, as_name, joined, spans, split
from schemas.undecodable import Undecodable

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
REQUIRED = ("specversion", "id", "source", "type")
_TYPE = re.compile(r"(ticketsync\.[a-z-]+)\.v[0-9]+")
_DECIDING = frozenset({"content-type", "ce_specversion", "ce_type"})
REMEMBERED_BYTES = 2_000
REMEMBERED = 1_000
LAYOUTS_OF_A_LENGTH = 4


@cache
def type_of(event: type[Event]) -> str:
    """The CloudEvents type, such as ticketsync.ticket-linked.v1."""
    words = re.sub(r"(?<!^)([A-Z])", r"-\1", event.__name__).lower()
    return f"ticketsync.{words}.v{event.major_version}"


def media_type_of(headers: Headers | bytes, event: type[Event]) -> str:
    """The media type ("" if none) of a record of this event. Bytes are headers as they stand in a record.

    Raises Undecodable if the envelope is none of its own.
    """
    raw = headers if isinstance(headers, bytes) else joined(headers)
    for layout in _layouts.get(len(raw), ()):
        found = _known.get((event, layout.alike(raw)))
        if found is not None and layout.has_good_texts(raw):
            return found
    try:
        apart = split(raw)
    except ValueError as error:
        raise Undecodable("bad_header", str(error)) from None
    found = _judge(apart, event)
    if len(raw) <= REMEMBERED_BYTES:
        _remember(raw, event, found)
    return found


class _Layout(NamedTuple):
    """Where headers of one length have the values that decide nothing by what they say, and all between them.

    What is between holds every name and every length. So headers in which that is as it was in others have their values
    at the same places, and all that decides is the same.
    """

    alike: Callable[[bytes], object]
    texts: tuple[slice, ...]
    time: slice | None

    def has_good_texts(self, raw: bytes) -> bool:
        """Otherwise they have to be looked at one by one, which tells what is wrong with the first that is."""
        try:
            if not raw.isascii():
                for text in self.texts:
                    raw[text].decode()
            return self.time is None or _is_time(raw[self.time].decode())
        except UnicodeDecodeError:
            return False


_layouts: dict[int, list[_Layout]] = defaultdict(list)
_known: dict[tuple[type[Event], object], str] = {}


def _remember(raw: bytes, event: type[Event], media_type: str) -> None:
    """That headers which differ from these in texts and time alone are as good."""
    layout = _layout(raw)
    if layout is None:
        return
    if len(_known) >= REMEMBERED:
        _known.clear()
        _layouts.clear()
    of_this_length = _layouts[len(raw)]
    if all(one.alike(raw) != layout.alike(raw) for one in of_this_length):
        of_this_length[:] = [layout, *of_this_length][:LAYOUTS_OF_A_LENGTH]
    _known[event, layout.alike(raw)] = media_type


def _layout(raw: bytes) -> _Layout | None:
    """None: a header stands there twice, and has to say the same both times."""
    found = spans(raw)
    values = {as_name(raw[name]).lower(): value for name, value in found}
    if len(values) < len(found):
        return None
    between, begin = list[slice](), 0
    texts: dict[str, slice] = {}
    for name, value in values.items():
        if name not in _DECIDING and value is not None:
            between.append(slice(begin, value.start))
            begin = value.stop
            if name.startswith("ce_"):
                texts[name] = value
    time = texts.pop("ce_time", None)
    return _Layout(itemgetter(*between, slice(begin, None)), tuple(texts.values()), time)


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
        if name != "content-type" and not name.startswith("ce_"):
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
