"""A record on its way in and out: the three forms, what is refused, and why."""

import pytest
from cloudevents.core.bindings.kafka import to_binary
from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from schemas.envelope import decode, encode
from schemas.events import (
    EVENTS,
    CloudTicketUpdated,
    Event,
    RecordingProcessed,
    TicketLinked,
    TicketLinkRequested,
    TicketSyncRequested,
)
from schemas.headers import type_of
from schemas.raw_headers import NO_HEADERS, joined
from schemas.topics import LINKER_DLQ, RECORDING_PROCESSED, TICKET_LINK_REQUESTED, TICKET_LINKED, TICKET_SYNC_REQUESTED
from tests.schemas.given import a_body, as_json, parse, without
from tests.schemas.records import (
    BODY,
    ENVELOPE,
    KEY,
    LINKED,
    NOON,
    STRUCTURED,
    Headers,
    binary,
    binary_without,
    reason_of,
)


def test_we_publish_in_binary_mode() -> None:
    event = CloudTicketUpdated(
        recording_id="r-1", clouds_uuid="u==", transfer_version=1, link_version=2, updated_at=NOON
    )

    record = encode(
        event,
        source="/cloud_updater",
        event_id="cloud_updater/r-1/1/2",
        time=NOON,
        subject="r-1",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    )

    assert record.value == (
        b'{"recording_id":"r-1","clouds_uuid":"u==","transfer_version":1,"link_version":2,'
        b'"updated_at":"2025-01-29T12:00:00Z"}'
    )
    assert dict(record.headers) == {
        "content-type": b"application/json",
        "ce_specversion": b"1.0",
        "ce_id": b"cloud_updater/r-1/1/2",
        "ce_source": b"/cloud_updater",
        "ce_type": b"ticketsync.cloud-ticket-updated.v1",
        "ce_time": b"2025-01-29T12:00:00Z",
        "ce_subject": b"r-1",
        "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    }


def test_types_are_named_after_the_events() -> None:
    assert type_of(TicketLinked) == "ticketsync.ticket-linked.v1"
    assert type_of(TicketSyncRequested) == "ticketsync.ticket-sync-requested.v1"


def test_what_we_publish_we_read_back() -> None:
    record = encode(LINKED, source="/linker", event_id="1", time=NOON)

    assert decode(TICKET_LINKED, key=KEY, value=record.value, headers=joined(record.headers)) == LINKED


@pytest.mark.parametrize(
    ("value", "headers"),
    [
        pytest.param(as_json(BODY), [], id="plain"),
        pytest.param(as_json(BODY), [("content-type", b"application/json")], id="plain with its content type"),
        pytest.param(as_json(BODY), [("Content-Type", b"Application/JSON; charset=UTF-8")], id="in other letters"),
        pytest.param(as_json(BODY), [("content-type", b"application/vnd.helpdesk+json")], id="a kind of json"),
        pytest.param(as_json(BODY), binary(), id="binary"),
        pytest.param(as_json(BODY), binary_without("content-type", "ce_time"), id="binary, required headers only"),
        pytest.param(as_json(BODY), binary(ce_time=b"2025-01-29T12:00:00.123456789+01:00"), id="nanoseconds"),
        pytest.param(as_json(BODY), [*binary(), ("ce_id", b"1")], id="a header twice, alike"),
        pytest.param(as_json(BODY), binary(ce_partitionkey=b"any"), id="an extension"),
        pytest.param(as_json(ENVELOPE), STRUCTURED, id="structured"),
        pytest.param(as_json(ENVELOPE), [*STRUCTURED, ("ce_id", b"2")], id="structured wins over headers"),
        pytest.param(as_json(without(ENVELOPE, "time")), STRUCTURED, id="structured, required attributes only"),
        pytest.param(as_json(ENVELOPE | {"datacontenttype": "application/json"}), STRUCTURED, id="its data's type"),
    ],
)
def test_all_three_forms_are_the_same_event(value: bytes, headers: Headers) -> None:
    assert decode(TICKET_LINKED, key=KEY, value=value, headers=joined(headers)) == LINKED


@pytest.mark.parametrize("header", [("trace", b"\xff\xfe"), ("", None), ("x-ce_id", b"\xff"), ("traceparent", None)])
def test_a_broken_header_of_somebody_else_is_ignored(header: tuple[str, bytes | None]) -> None:
    assert decode(TICKET_LINKED, key=KEY, value=as_json(BODY), headers=joined([*binary(), header])) == LINKED


@pytest.mark.parametrize("key", [b"another", b"", b'"rec-2025-01-29-0001"', b"\xff", b"rec-2025-01-29-0001 "])
def test_a_key_that_differs_from_the_body_is_a_dead_letter(key: bytes) -> None:
    assert reason_of(as_json(BODY), binary(), key=key) == ("key_mismatch", "the key differs from recording_id")


def test_a_key_is_the_field_in_utf_8() -> None:
    value = as_json(BODY | {"recording_id": "Aufnahme-ä-😀"})

    event = decode(TICKET_LINKED, key="Aufnahme-ä-😀".encode(), value=value, headers=NO_HEADERS)

    assert isinstance(event, TicketLinked)
    assert event.recording_id == "Aufnahme-ä-😀"


def test_only_a_compacted_topic_needs_a_key() -> None:
    assert reason_of(as_json(BODY), [], key=None) == ("missing_key", "the key must be recording_id")

    sync = as_json(a_body(TicketSyncRequested))
    assert decode(TICKET_SYNC_REQUESTED, key=None, value=sync, headers=NO_HEADERS)
    assert reason_of(sync, [], topic=TICKET_SYNC_REQUESTED, key=b"other")[0] == "key_mismatch"


@pytest.mark.parametrize("key", [None, b"", b"\xff", b"anything"])
def test_a_link_request_may_have_any_key(key: bytes | None) -> None:
    value = as_json(a_body(TicketLinkRequested))

    assert decode(TICKET_LINK_REQUESTED, key=key, value=value, headers=NO_HEADERS)


def test_a_value_beyond_the_topic_s_limit_is_not_even_parsed() -> None:
    body = as_json(a_body(RecordingProcessed, transcript="{}"))
    fits = body.replace(b"{}", b"x" * (2_097_152 - len(body) + 2))

    assert decode(RECORDING_PROCESSED, key=KEY, value=fits, headers=NO_HEADERS)
    assert reason_of(fits + b" ", [], topic=RECORDING_PROCESSED) == ("too_large", "2097153 bytes, at most 2097152")


def test_dead_letters_are_not_decoded() -> None:
    with pytest.raises(ValueError, match=r"linker\.dlq holds any bytes"):
        decode(LINKER_DLQ, key=None, value=b"{}", headers=NO_HEADERS)


@pytest.mark.parametrize("kind", EVENTS)
def test_our_headers_are_those_that_the_cloudevents_package_makes(kind: type[Event]) -> None:
    event = parse(kind)
    whole = CloudEvent(
        {
            "specversion": "1.0",
            "id": "R1:7",
            "source": "ticketsync/linker",
            "type": type_of(kind),
            "datacontenttype": "application/json",
            "time": NOON,
            "subject": "Aufnahme-ä",
        },
        event.model_dump(mode="json"),
    )

    ours = encode(event, source="ticketsync/linker", event_id="R1:7", time=NOON, subject="Aufnahme-ä")

    assert dict(ours.headers) == to_binary(whole, JSONFormat()).headers
