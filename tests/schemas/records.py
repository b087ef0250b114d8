"""Records of one TicketLinked in all three forms, to be spoiled by tests."""

from datetime import UTC, datetime

import pytest

from schemas.envelope import decode
from schemas.events import TicketLinked
from schemas.raw_headers import joined
from schemas.topics import TICKET_LINKED, Topic
from schemas.undecodable import Reason, Undecodable
from tests.schemas.given import a_body, as_json

Headers = list[tuple[str, bytes | None]]

NOON = datetime(2025, 1, 29, 12, tzinfo=UTC)
KEY = b"rec-2025-01-29-0001"
BODY = a_body(TicketLinked)
LINKED = TicketLinked.model_validate_json(as_json(BODY))
STRUCTURED: Headers = [("content-type", b"application/cloudevents+json; charset=utf-8")]
ENVELOPE = {
    "specversion": "1.0",
    "id": "1",
    "source": "/elsewhere",
    "type": "ticketsync.ticket-linked.v1",
    "time": "2025-01-29T12:00:00Z",
    "data": BODY,
}


def binary(**changes: bytes | None) -> Headers:
    """Headers of binary mode, some of them changed or added."""
    headers: dict[str, bytes | None] = {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": b"1",
        "ce_source": b"/elsewhere",
        "ce_type": b"ticketsync.ticket-linked.v1",
        "ce_time": b"2025-01-29T12:00:00Z",
    }
    return list((headers | changes).items())


def binary_without(*names: str) -> Headers:
    return [(name, value) for name, value in binary() if name not in names]


def reason_of(
    value: bytes, headers: Headers, *, topic: Topic = TICKET_LINKED, key: bytes | None = KEY
) -> tuple[Reason, str]:
    with pytest.raises(Undecodable) as caught:
        decode(topic, key=key, value=value, headers=joined(headers))
    return caught.value.reason, caught.value.error
