"""Bodies of events to start from, an example file of each changed where a test says so, and what becomes of them."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.events import EVENTS, Event
from schemas.generate import examples

Body = dict[str, Any]

_FIRST = {
    "RecordingProcessed": "complete",
    "TicketLinked": "linked_by_import",
    "RecordingTransferred": "with_its_ticket",
    "CloudTicketUpdated": "acknowledged",
    "TicketLinkRequested": "by_recording_id",
    "TicketSyncRequested": "two_recordings",
}
ALL_EXAMPLES = [(event, name, body) for event in EVENTS for name, body in examples(event)]
EXAMPLE_IDS = [f"{event.__name__}-{name}" for event, name, _ in ALL_EXAMPLES]


def a_body(event: type[Event], **changes: object) -> Body:
    """The fullest example of an event, with some of its fields changed; "ticket_info__ticket_id" goes one level in."""
    body: Body = dict(examples(event))[_FIRST[event.__name__]]
    for path, value in changes.items():
        outer, _, inner = path.partition("__")
        if inner:
            body[outer][inner] = value
        else:
            body[outer] = value
    return body


def without(body: Body, *fields: str) -> Body:
    return {name: value for name, value in body.items() if name not in fields}


def as_json(body: object) -> bytes:
    return json.dumps(body).encode()


def parse(event: type[Event], **changes: object) -> Any:  # noqa: ANN401 - each test knows its event
    return event.model_validate_json(as_json(a_body(event, **changes)))


def refuses(event: type[Event], *, field: str, value: object) -> bool:
    """Whether the value is refused, and under the field's own name."""
    with pytest.raises(ValidationError) as caught:
        parse(event, **{field: value})
    return any(".".join(map(str, error["loc"])) == field.replace("__", ".") for error in caught.value.errors())


def accepts(event: type[Event], body: dict[str, object]) -> bool:
    try:
        event.model_validate_json(as_json(body))
    except ValidationError:
        return False
    return True
