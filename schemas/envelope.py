"""CloudEvents 1.0 around the events: out in binary mode, in as binary, structured or plain JSON.

In: a record's key, value and headers as Kafka gave them, whatever they hold. Out: a valid event, or `Undecodable`
with a reason from a closed list and nothing else. The error names fields and rules, never content: it is written to
logs and to dead letters' headers, and transcripts and customers' names must not get there.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Literal

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.exceptions import BaseCloudEventException, CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError

from schemas.events import Event
from schemas.rules import broken_rules, is_malformed_json
from schemas.topics import Topic

Reason = Literal[
    "malformed_json",  # not JSON, or not UTF-8
    "schema_invalid",  # JSON that breaks a rule of the event
    "bad_header",  # content-type or a ce_ header that cannot be read
    "bad_envelope",  # a CloudEvent without what every CloudEvent has
    "unknown_type",  # an event that does not belong on this topic
    "unknown_version",  # a major version that this release does not know
    "missing_key",  # no key on a compacted topic
    "key_mismatch",  # a key that would erase another one's fact
    "too_large",
    "unstorable",  # valid, but the database refused it
    "unlinkable",  # valid, but no link can be made of it
]

JSON = "application/json"
STRUCTURED = "application/cloudevents+json"
_REQUIRED = ("specversion", "id", "source", "type")
_TYPE = re.compile(r"(ticketsync\.[a-z-]+)\.v[0-9]+")
_FORMAT = JSONFormat()
# A value can break every rule at once; the first few say enough.
_RULES_NAMED = 5


@dataclass(frozen=True)
class Encoded:
    """A record's value and headers, ready for the producer."""

    value: bytes
    headers: list[tuple[str, bytes]]


class Undecodable(Exception):
    """A record that is no event of its topic: `reason` for machines, `error` for people."""

    def __init__(self, reason: Reason, error: str) -> None:
        super().__init__(f"{reason}: {error}")
        self.reason: Reason = reason
        self.error = error


@cache
def type_of(event: type[Event]) -> str:
    """The CloudEvents type, such as ticketsync.ticket-linked.v1."""
    words = re.sub(r"(?<!^)([A-Z])", r"-\1", event.__name__).lower()
    return f"ticketsync.{words}.v{event.major_version}"


def encode(
    event: Event | tuple[type[Event], bytes],
    *,
    source: str,
    event_id: str,
    time: datetime,
    subject: str | None = None,
    traceparent: str | None = None,
) -> Encoded:
    """A record in binary mode. `time` is aware; `event_id` must be the same whenever the same event is sent again.

    An event that was valid when it was stored may come as its type and its JSON.
    """
    kind, value = event if isinstance(event, tuple) else (type(event), event.model_dump_json().encode())
    headers = [*_constant_headers(kind, source), ("ce_id", event_id.encode()), ("ce_time", _rfc3339(time))]
    if subject is not None:
        headers.append(("ce_subject", subject.encode()))
    if traceparent is not None:
        # W3C's own header, without ce_: it belongs to the transport and not to the event.
        headers.append(("traceparent", traceparent.encode()))
    return Encoded(value, headers)


@cache
def _constant_headers(event: type[Event], source: str) -> tuple[tuple[str, bytes], ...]:
    """What the package makes of everything but id, time and subject, which it would validate for each record anew."""
    attributes = {
        "specversion": "1.0",
        "id": "_",
        "source": source,
        "type": type_of(event),
        "datacontenttype": JSON,
    }
    headers = to_binary(CloudEvent(attributes, ""), _FORMAT).headers
    return tuple((name, value) for name, value in headers.items() if name not in {"ce_id", "ce_time"})


@lru_cache(maxsize=64)  # the facts of one import are of one moment
def _rfc3339(time: datetime) -> bytes:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()


def decode(topic: Topic, *, key: bytes | None, value: bytes, headers: Sequence[tuple[str, bytes | None]]) -> Event:
    """The event of one record, in whichever of the three forms it came.

    Raises Undecodable, whatever the bytes are. A null value is not for here: it is counted and skipped before.
    """
    if topic.event is None:
        raise ValueError(f"{topic.name} holds any bytes, not events")
    if len(value) > topic.max_message_bytes:
        raise Undecodable("too_large", f"{len(value)} bytes, at most {topic.max_message_bytes}")
    content_type, attributes = _read_headers(headers)
    if content_type == STRUCTURED:
        value = _unwrap(value, topic.event)
    else:
        _check_is_json(content_type)
        if attributes:
            _check_attributes(attributes, topic.event)
    event = _parse(topic.event, value)
    _check_key(topic, key, event)
    return event


def _read_headers(headers: Sequence[tuple[str, bytes | None]]) -> tuple[str, dict[str, str]]:
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
            content_type = _media_type(text)
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


def _media_type(text: str) -> str:
    """application/json of "Application/JSON; charset=utf-8"."""
    return text.partition(";")[0].strip().lower()


def _shown(name: str) -> str:
    """A header's name, safe to print: names come from strangers too."""
    return ascii(name[:40])


def _check_is_json(content_type: str) -> None:
    if content_type in ("", JSON, "text/json"):
        return
    if content_type.startswith("application/cloudevents") or not content_type.endswith("+json"):
        raise Undecodable("bad_header", "content-type is neither JSON nor a CloudEvent in JSON")


def _check_attributes(attributes: dict[str, str], event: type[Event]) -> None:
    missing = [name for name in _REQUIRED if name not in attributes]
    if missing:
        raise Undecodable("bad_envelope", f"missing: {', '.join(missing)}")
    if attributes["specversion"] != "1.0":
        raise Undecodable("bad_envelope", "specversion is not 1.0")
    if "time" in attributes:
        _check_time(attributes["time"])
    _check_type(attributes["type"], event)


def _check_time(text: str) -> None:
    try:
        aware = datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        aware = False
    if not aware:
        raise Undecodable("bad_header", "ce_time is not a time in RFC 3339 form with an offset")


def _check_type(given: str, event: type[Event]) -> None:
    expected = type_of(event)
    if given == expected:
        return
    name = _TYPE.fullmatch(given)
    if name and expected.startswith(f"{name[1]}.v"):
        raise Undecodable("unknown_version", f"only {expected} is known here")
    raise Undecodable("unknown_type", f"only {expected} belongs here")


def _unwrap(value: bytes, event: type[Event]) -> bytes:
    """The data of a structured CloudEvent, as JSON again so that one set of rules reads it."""
    try:
        envelope = _FORMAT.read(_complete_event, value)
    except CloudEventValidationError as error:
        known = sorted({*_REQUIRED, "time", "subject", "datacontenttype", "dataschema"} & error.errors.keys())
        raise Undecodable("bad_envelope", f"invalid: {', '.join(known) or 'an extension'}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise Undecodable("malformed_json", "the CloudEvent is not JSON") from None
    except (ValueError, TypeError, AttributeError, OverflowError, BaseCloudEventException):
        # The package checks little before it uses a value: a time that is no text, an envelope that is no object.
        raise Undecodable("bad_envelope", "not a CloudEvent") from None
    _check_type(envelope.get_type(), event)
    _check_is_json(_media_type(envelope.get_datacontenttype() or JSON))
    data = envelope.get_data()
    if data is None:
        raise Undecodable("bad_envelope", "missing: data")
    return data if isinstance(data, bytes) else json.dumps(data).encode()


def _complete_event(attributes: dict[str, Any], data: dict[str, Any] | str | bytes | None) -> BaseCloudEvent:
    """A CloudEvent, without the id and specversion that the package would make up for one that has none."""
    missing = [name for name in _REQUIRED if name not in attributes]
    if missing:
        raise Undecodable("bad_envelope", f"missing: {', '.join(missing)}")
    return CloudEvent(attributes, data)


def _parse(event: type[Event], value: bytes) -> Event:
    try:
        return event.model_validate_json(value)
    except ValidationError as error:
        reason: Reason = "malformed_json" if is_malformed_json(error) else "schema_invalid"
        # Without its cause, which would take the record's content along into a traceback.
        raise Undecodable(reason, "; ".join(map(str, broken_rules(error)[:_RULES_NAMED]))) from None


def _check_key(topic: Topic, key: bytes | None, event: Event) -> None:
    if topic.key_field is None:
        return
    if key is None:
        # Only compaction needs the key; elsewhere the field in the body says the same.
        if topic.cleanup == "compact":
            raise Undecodable("missing_key", f"the key must be {topic.key_field}")
    elif key != getattr(event, topic.key_field).encode():
        raise Undecodable("key_mismatch", f"the key differs from {topic.key_field}")
