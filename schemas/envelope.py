"""CloudEvents 1.0 around the events: out in binary mode, in as binary, structured or plain JSON.

In: a record's key, value and headers as Kafka gave them, whatever they hold. Out: a valid event, or `Undecodable`
with a reason from a closed list and nothing else. The error names fields and rules, never content: it is written to
logs and to dead letters' headers, and transcripts and customers' names must not get there.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Annotated, Any, NamedTuple

from cloudevents.core.base import BaseCloudEvent
from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.exceptions import BaseCloudEventException, CloudEventValidationError
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent
from pydantic import ValidationError, create_model

from schemas.events import Event
from schemas.headers import (
    JSON,
    REQUIRED,
    STRUCTURED,
    check_is_json,
    check_type,
    media_type,
    media_type_of,
    type_of,
)
from schemas.rules import broken_rules, is_malformed_json
from schemas.topics import Topic
from schemas.undecodable import Reason, Undecodable

_FORMAT = JSONFormat()
# A value can break every rule at once; the first few say enough.
_RULES_NAMED = 5
Skim = tuple[str, tuple[int, ...], str]


class Encoded(NamedTuple):
    """A record's value and headers, ready for the producer."""

    value: bytes
    headers: list[tuple[str, bytes]]


def encode(
    event: Event,
    *,
    source: str,
    event_id: str,
    time: datetime,
    subject: str | None = None,
    traceparent: str | None = None,
) -> Encoded:
    """A record in binary mode. `time` is aware; `event_id` must be the same whenever the same event is sent again."""
    headers = [*constant_headers(type(event), source), ("ce_id", event_id.encode()), ("ce_time", rfc3339(time))]
    if subject is not None:
        headers.append(("ce_subject", subject.encode()))
    if traceparent is not None:
        # W3C's own header, without ce_: it belongs to the transport and not to the event.
        headers.append(("traceparent", traceparent.encode()))
    return Encoded(event.as_json(), headers)


@cache
def constant_headers(event: type[Event], source: str) -> tuple[tuple[str, bytes], ...]:
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
def rfc3339(time: datetime) -> bytes:
    """An aware time in UTC, as events write it."""
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z").encode()


def decode(topic: Topic, *, key: bytes | None, value: bytes, headers: bytes) -> Event:
    """The event of one record, in whichever of the three forms it came; `headers` as they stand in the record.

    Raises Undecodable, whatever the bytes are. A null value is not for here: it is counted and skipped before.
    """
    if topic.event is None:
        raise ValueError(f"{topic.name} holds any bytes, not events")
    if len(value) > topic.max_message_bytes:
        raise Undecodable("too_large", f"{len(value)} bytes, at most {topic.max_message_bytes}")
    if media_type_of(headers, topic.event) == STRUCTURED:
        value = _unwrap(value, topic.event)
    event = parse(topic.event, value)
    if topic.key_field is not None:
        _check_key(topic, key, getattr(event, topic.key_field))
    return event


def skim(topic: Topic, *, key: bytes | None, value: bytes, headers: bytes) -> Skim | None:
    """The key of a fact, its order among the facts of that key and what tells it apart from others of that order (empty
    if nothing does), at a tenth of what reading all of it costs.

    Envelope, key and these fields are judged as `decode` does. None: they cannot be had this way, and `decode` says why
    or reads them all the same.
    """
    if topic.event is None or not topic.event.order or len(value) > topic.max_message_bytes:
        return None
    try:
        if media_type_of(headers, topic.event) == STRUCTURED:
            return None
        name, *order = vars(_key_and_order(topic.event, topic.key_field)(value)).values()
    except (Undecodable, ValidationError):
        return None
    told_apart_by = order.pop() if topic.event.told_apart_by else ""
    return (name, tuple(order), told_apart_by) if key == name.encode() else None


@cache
def _key_and_order(event: type[Event], key_field: str | None) -> Callable[[bytes], object]:
    """Reads an event's key, order and what tells it apart, in this order, under its own rules; all else is passed over.

    By pydantic's own validator, without the layer above it: every record is asked for them.
    """
    names = (key_field, *event.order, event.told_apart_by)
    fields = [(name, event.model_fields[name]) for name in names if name]
    rules: dict[str, Any] = {name: (Annotated[field.annotation, *field.metadata], ...) for name, field in fields}
    read: Callable[[bytes], object] = create_model(
        f"{event.__name__}Order", **rules
    ).__pydantic_validator__.validate_json
    return read


def _unwrap(value: bytes, event: type[Event]) -> bytes:
    """The data of a structured CloudEvent, as JSON again so that one set of rules reads it."""
    try:
        envelope = _FORMAT.read(_complete_event, value)
    except CloudEventValidationError as error:
        known = sorted({*REQUIRED, "time", "subject", "datacontenttype", "dataschema"} & error.errors.keys())
        raise Undecodable("bad_envelope", f"invalid: {', '.join(known) or 'an extension'}") from None
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError):
        raise Undecodable("malformed_json", "the CloudEvent is not JSON") from None
    except (ValueError, TypeError, AttributeError, OverflowError, BaseCloudEventException):
        # The package checks little before it uses a value: a time that is no text, an envelope that is no object.
        raise Undecodable("bad_envelope", "not a CloudEvent") from None
    check_type(envelope.get_type(), event)
    check_is_json(media_type(envelope.get_datacontenttype() or JSON))
    data = envelope.get_data()
    if data is None:
        raise Undecodable("bad_envelope", "missing: data")
    return data if isinstance(data, bytes) else json.dumps(data).encode()


def _complete_event(attributes: dict[str, Any], data: dict[str, Any] | str | bytes | None) -> BaseCloudEvent:
    """A CloudEvent, without the id and specversion that the package would make up for one that has none."""
    missing = [name for name in REQUIRED if name not in attributes]
    if missing:
        raise Undecodable("bad_envelope", f"missing: {', '.join(missing)}")
    return CloudEvent(attributes, data)


def parse(event: type[Event], value: bytes) -> Event:
    """The event alone, of a record that `skim` has found good: its envelope and its key need no second look.

    Raises Undecodable.
    """
    try:
        # Pydantic's own validator: the layer above it takes a sixth of the time.
        found: Event = event.__pydantic_validator__.validate_json(value)
    except ValidationError as error:
        reason: Reason = "malformed_json" if is_malformed_json(error) else "schema_invalid"
        # Without its cause, which would take the record's content along into a traceback.
        raise Undecodable(reason, "; ".join(map(str, broken_rules(error)[:_RULES_NAMED]))) from None
    return found


def _check_key(topic: Topic, key: bytes | None, name: str) -> None:
    if key is None:
        # Only compaction needs the key; elsewhere the field in the body says the same.
        if topic.cleanup == "compact":
            raise Undecodable("missing_key", f"the key must be {topic.key_field}")
    elif key != name.encode():
        raise Undecodable("key_mismatch", f"the key differs from {topic.key_field}")
