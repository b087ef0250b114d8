"""Whatever arrives: decode gives an event or says `Undecodable`, and never says what was inside."""

from datetime import datetime
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import decode, encode
from schemas.events import Event, TicketInfo, TicketLinked
from schemas.headers import type_of
from schemas.raw_headers import NO_HEADERS, joined
from schemas.topics import TICKET_LINKED, TOPICS, Topic, topic_named
from schemas.undecodable import Reason, Undecodable
from tests.schemas.given import ALL_EXAMPLES, EXAMPLE_IDS, Body, as_json
from tests.schemas.records import STRUCTURED, Headers

SECRET = "Jane-Roe-4711"

EVENT_TOPICS = [topic for topic in TOPICS if topic.event]
topics = st.sampled_from(EVENT_TOPICS)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=10,
)
names = st.sampled_from(
    ["content-type", "Content-Type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "CE_ID", "ce_", "x"]
)
texts = st.sampled_from(
    [
        b"application/json",
        b"application/cloudevents+json",
        b"1.0",
        b"/source",
        b"2025-01-29T12:00:00Z",
        b"9999-12-31T23:59:59-23:59",
        *(type_of(topic.event).encode() for topic in EVENT_TOPICS if topic.event),
    ]
)
headers = st.lists(st.tuples(names, st.none() | texts | st.binary(max_size=10)), max_size=8)
keys = st.none() | st.binary(max_size=10) | st.just(b"rec-2025-01-29-0001")
examples = st.sampled_from([body for _, _, body in ALL_EXAMPLES])


@st.composite
def mutilated_bodies(draw: st.DrawFn) -> Body:
    """An example with some fields replaced, removed or added."""
    body = dict(draw(examples))
    for field in draw(st.lists(st.sampled_from(sorted(body)), max_size=2)):
        body[field] = draw(any_json)
    return body | draw(st.dictionaries(st.text(max_size=5), any_json, max_size=1))


@st.composite
def envelopes(draw: st.DrawFn) -> Body:
    """A structured CloudEvent that may be broken anywhere."""
    envelope: Body = {
        "specversion": "1.0",
        "id": "1",
        "source": "/s",
        "type": type_of(draw(st.sampled_from([event for event, _, _ in ALL_EXAMPLES]))),
        "time": "2025-01-29T12:00:00Z",
        "data": draw(mutilated_bodies()),
    }
    for field in draw(st.lists(st.sampled_from([*envelope, "data_base64", "datacontenttype", "subject"]), max_size=2)):
        envelope[field] = draw(any_json)
    return envelope


whole = (any_json | mutilated_bodies() | envelopes()).map(as_json)
cut_off = st.tuples(whole, st.integers(0, 200)).map(lambda record: record[0][: record[1]])
values = st.binary(max_size=50) | whole | cut_off

ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=255)
labels = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=100)
# Naive limits are what hypothesis asks for; they leave room for every offset.
times = st.datetimes(datetime(2, 1, 1), datetime(9998, 1, 1), timezones=st.timezones())  # noqa: DTZ001
tickets = st.builds(
    TicketInfo, ticket_id=labels, customer_name=st.none() | labels, display_name=st.none() | labels, linked_at=times
)
links = st.builds(
    TicketLinked,
    recording_id=ids,
    folder_id=ids,
    filename=ids,
    link_version=st.integers(1, 2**31 - 1),
    ticket_info=st.none() | tickets,
    source=st.sampled_from(["api", "import", "event"]),
    request_id=ids,
    requested_at=times,
    linked_by=st.none() | ids,
    import_id=st.none() | ids,
    occurred_at=times,
)


@settings(max_examples=200, deadline=None)
@given(topic=topics, key=keys, value=values, headers=headers)
def test_any_record_is_an_event_or_undecodable(topic: Topic, key: bytes | None, value: bytes, headers: Headers) -> None:
    assert is_an_event_or_undecodable(topic, key, value, headers)


@settings(max_examples=200, deadline=None)
@given(topic=topics, key=keys, envelope=envelopes())
def test_any_structured_record_is_an_event_or_undecodable(topic: Topic, key: bytes | None, envelope: Body) -> None:
    assert is_an_event_or_undecodable(topic, key, as_json(envelope), STRUCTURED)


@settings(max_examples=200, deadline=None)
@given(event=links)
def test_what_is_published_is_read_as_the_same_in_every_form(event: TicketLinked) -> None:
    record = encode(event, source="/linker", event_id="1", time=event.occurred_at, subject=event.recording_id)
    envelope = b'{"specversion":"1.0","id":"1","source":"/s","type":"ticketsync.ticket-linked.v1","data":%b}'
    key = event.recording_id.encode()

    assert decode(TICKET_LINKED, key=key, value=record.value, headers=joined(record.headers)) == event
    assert decode(TICKET_LINKED, key=key, value=record.value, headers=NO_HEADERS) == event
    assert decode(TICKET_LINKED, key=key, value=envelope % record.value, headers=joined(STRUCTURED)) == event


@pytest.mark.parametrize(("event", "name", "body"), ALL_EXAMPLES, ids=EXAMPLE_IDS)
def test_no_error_repeats_what_was_in_the_record(event: type[Event], name: str, body: Body) -> None:
    envelope = {"specversion": "1.0", "id": "1", "source": "/s", "type": type_of(event), "data": body}
    wrong_values = [f"{SECRET}\x00", {SECRET: SECRET}, [SECRET], f"https://{SECRET}:{SECRET}@x/", SECRET * 1000]

    said = [error_of(event, SECRET.encode(), []), error_of(event, f'{{"a": "{SECRET}'.encode(), [])]
    for wrong in wrong_values:
        said += [error_of(event, as_json(body | {field: wrong}), []) for field in body]
        said += [error_of(event, as_json(envelope | {field: wrong}), STRUCTURED) for field in [*envelope, "time"]]
    for ce_name in ("content-type", "ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time"):
        said += [error_of(event, as_json(body), [(ce_name, SECRET.encode() + tail)]) for tail in (b"", b"\xff")]

    assert name
    assert any(said)
    assert not [error for error in said if SECRET in error]


def is_an_event_or_undecodable(topic: Topic, key: bytes | None, value: bytes, headers: Headers) -> bool:
    try:
        return type(decode(topic, key=key, value=value, headers=joined(headers))) is topic.event
    except Undecodable as undecodable:
        return undecodable.reason in get_args(Reason) and undecodable.error.isprintable()


def error_of(event: type[Event], value: bytes, headers: Headers) -> str:
    """What decode says, "" if it takes the record: some fields may hold anything."""
    topic = topic_named(event.__name__)
    try:
        decode(topic, key=None, value=value, headers=joined(headers))
    except Undecodable as undecodable:
        return str(undecodable)
    return ""
