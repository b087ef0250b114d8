"""What is refused, in which form it came, and the reason that is given."""

import pytest

from schemas.envelope import decode
from schemas.raw_headers import joined
from schemas.topics import TICKET_LINKED
from schemas.undecodable import Reason
from tests.schemas.given import as_json, without
from tests.schemas.records import BODY, ENVELOPE, KEY, LINKED, STRUCTURED, Headers, binary, binary_without, reason_of


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        (binary(ce_id=None), "'ce_id' has no value"),
        (binary(ce_id=b""), "'ce_id' has no value"),
        (binary(ce_source=b"\xff"), "'ce_source' is not UTF-8"),
        (binary(ce_extension=b"\xff"), "'ce_extension' is not UTF-8"),
        ([("content-type", b"\xc3(")], "'content-type' is not UTF-8"),
        ([("content-type", None)], "'content-type' has no value"),
        ([("content-type", b"text/csv")], "content-type is neither JSON nor a CloudEvent in JSON"),
        ([("content-type", b"application/cloudevents+avro")], "content-type is neither JSON nor a CloudEvent in JSON"),
        (
            [("content-type", b"application/cloudevents-batch+json")],
            "content-type is neither JSON nor a CloudEvent in JSON",
        ),
        (binary(ce_time=b"noon"), "ce_time is not a time in RFC 3339 form with an offset"),
        (binary(ce_time=b"2025-01-29T12:00:00"), "ce_time is not a time in RFC 3339 form with an offset"),
        ([*binary(), ("ce_id", b"2")], "'ce_id' stands there twice"),
    ],
)
def test_a_broken_header_of_the_envelope_is_a_dead_letter(headers: Headers, error: str) -> None:
    assert reason_of(as_json(BODY), headers) == ("bad_header", error)


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (binary(ce_type=b"ticketsync.ticket-linked.v2"), "unknown_version"),
        (binary(ce_specversion=b"0.3"), "bad_envelope"),
        (binary(ce_source=b"\xff"), "bad_header"),
        (binary(ce_id=b""), "bad_header"),
        (binary(ce_time=b"noon"), "bad_header"),
        ([("content-type", b"text/csv"), *binary()[1:]], "bad_header"),
        (binary_without("ce_source"), "bad_envelope"),
    ],
)
def test_a_record_is_judged_by_its_own_headers_and_not_by_those_of_the_one_before(
    headers: Headers, reason: Reason
) -> None:
    for _ in range(2):
        assert decode(TICKET_LINKED, key=KEY, value=as_json(BODY), headers=joined(binary())) == LINKED
        assert reason_of(as_json(BODY), headers)[0] == reason


@pytest.mark.parametrize("attribute", ["specversion", "id", "source", "type"])
def test_an_envelope_has_what_every_cloud_event_has(attribute: str) -> None:
    missing = ("bad_envelope", f"missing: {attribute}")

    assert reason_of(as_json(BODY), binary_without(f"ce_{attribute}")) == missing
    assert reason_of(as_json(without(ENVELOPE, attribute)), STRUCTURED) == missing


@pytest.mark.parametrize(
    ("envelope", "reason", "error"),
    [
        (without(ENVELOPE, "data"), "bad_envelope", "missing: data"),
        (ENVELOPE | {"specversion": "0.3"}, "bad_envelope", "invalid: specversion"),
        (ENVELOPE | {"id": ""}, "bad_envelope", "invalid: id"),
        (ENVELOPE | {"source": 5}, "bad_envelope", "invalid: source"),
        (ENVELOPE | {"type": ["ticketsync.ticket-linked.v1"]}, "bad_envelope", "invalid: type"),
        (ENVELOPE | {"subject": ""}, "bad_envelope", "invalid: subject"),
        (ENVELOPE | {"Upper-Case": "x"}, "bad_envelope", "invalid: an extension"),
        (ENVELOPE | {"time": "noon"}, "bad_envelope", "not a CloudEvent"),
        (ENVELOPE | {"time": 1738152000}, "bad_envelope", "not a CloudEvent"),
        ([ENVELOPE], "bad_envelope", "not a CloudEvent"),
        (7, "bad_envelope", "not a CloudEvent"),
        (ENVELOPE | {"datacontenttype": "text/csv"}, "bad_header", None),
        (ENVELOPE | {"data": "text"}, "schema_invalid", None),
        (ENVELOPE | {"data": [BODY]}, "schema_invalid", None),
    ],
)
def test_a_structured_event_is_read_as_strictly(envelope: object, reason: Reason, error: str | None) -> None:
    found, said = reason_of(as_json(envelope), STRUCTURED)

    assert found == reason
    assert error is None or said == error


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("ticketsync.ticket-linked.v2", "unknown_version"),
        ("ticketsync.ticket-linked.v10", "unknown_version"),
        ("ticketsync.recording-processed.v1", "unknown_type"),
        ("ticketsync.ticket-linked", "unknown_type"),
        ("ticketsync.ticket-linked.v1.x", "unknown_type"),
        ("ticketsync.ticket-linked-elsewhere.v1", "unknown_type"),
        ("com.example.thing", "unknown_type"),
    ],
)
def test_another_type_or_major_version_is_not_guessed_at(name: str, reason: Reason) -> None:
    assert reason_of(as_json(BODY), binary(ce_type=name.encode()))[0] == reason
    assert reason_of(as_json(ENVELOPE | {"type": name}), STRUCTURED)[0] == reason


@pytest.mark.parametrize("value", [b"", b"{", b"\xff\xfe", b'{"a":"\xff"}', b"[" * 100_000, b"nul\x00", b'"\\ud800"'])
def test_what_is_not_json_is_malformed_in_every_form(value: bytes) -> None:
    for headers in ([], binary()):
        assert reason_of(value, headers)[0] == "malformed_json"
    if value != b'"\\ud800"':  # to the envelope's parser that is a text, and no envelope
        assert reason_of(value, STRUCTURED)[0] == "malformed_json"


@pytest.mark.parametrize("value", [b"null", b"[]", b"{}", b"7", as_json(BODY | {"link_version": 0})])
def test_json_that_is_no_such_event_is_invalid(value: bytes) -> None:
    assert reason_of(value, [])[0] == "schema_invalid"


def test_an_error_names_field_and_rule() -> None:
    body = BODY | {"link_version": 0, "filename": ""}

    assert reason_of(as_json(body), []) == (
        "schema_invalid",
        "filename: String should have at least 1 character; link_version: Input should be greater than or equal to 1",
    )
