"""What is remembered of headers saves looking at them one by one, and never changes what is said of a record."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from schemas import headers
from schemas.events import RecordingTransferred, TicketLinked
from schemas.headers import media_type_of
from schemas.known_headers import REMEMBERED
from schemas.raw_headers import joined
from schemas.undecodable import Undecodable
from tests.schemas.records import STRUCTURED, Headers, binary

# Some of the same length, so that only the name tells what the value has to be.
_names = st.sampled_from(
    ["content-type", "ce_id", "CE_ID", "x-id0", "ce_time", "x-time0", "ce_type", "CE_TYPE", "ce_source", "ce_x", "x-é"]
)
_values = st.sampled_from(
    [
        *(None, b"", b"1", b"2", b"1.0", b"\xff", b"/" * 64, b"\xc3\xa4" * 40, b"1\x12ce_source\x02"),
        *(b"application/json", b"application/cloudevents+json", b"ticketsync.ticket-linked.v1"),
        *(b"2025-01-29T12:00:00Z", b"2025-99-29T12:00:00Z"),
    ]
)
TYPE = b"ticketsync.ticket-linked.v"
_usual = binary(ce_subject=b"R1", traceparent=b"00-1-2-01")
_changes = st.tuples(st.integers(0, len(_usual)), st.booleans(), _names, _values)


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    headers._known.clear()
    yield
    headers._known.clear()


def _said_of(found: Headers, event: type[TicketLinked | RecordingTransferred] = TicketLinked) -> str:
    try:
        return media_type_of(joined(found), event)
    except Undecodable as error:
        return f"{error.reason}: {error.error}"


def _said_at_first_sight(found: Headers) -> str:
    known = headers._known.copy()
    headers._known.clear()
    try:
        return _said_of(found)
    finally:
        headers._known.clear()
        headers._known.update(known)


def _changed(found: Headers, changes: list[tuple[int, bool, str, bytes | None]]) -> Headers:
    changed = list(found)
    for place, instead, name, value in changes:
        changed[place : place + instead] = [(name, value)]
    return changed


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(_changes, max_size=3), min_size=2, max_size=6))
def test_nothing_that_is_remembered_changes_what_is_said(
    all_changes: list[list[tuple[int, bool, str, bytes | None]]],
) -> None:
    for changes in all_changes:
        found = _changed(_usual, changes)
        for one in (_usual, found, _changed(found, changes[:1]), found):
            assert _said_of(one) == _said_at_first_sight(one), one


@pytest.mark.parametrize(
    ("before", "then"),
    [
        pytest.param(("x-time0", b"noon"), ("ce_time", b"noon"), id="another name, and a time"),
        pytest.param(("x-user", b"\xff"), ("ce_foo", b"\xff"), id="another name, and a text"),
        pytest.param(("ce_id", b"1"), ("ce_id", b"2"), id="twice, and not the same"),
        pytest.param(("CE_TYPE", TYPE + b"1"), ("CE_TYPE", TYPE + b"9"), id="capitals"),
        pytest.param(("ce_time", b"2025-01-29T12:00:00Z"), ("ce_time", b"noon"), id="no time"),
        pytest.param(("ce_x", b"1"), ("ce_x", b""), id="empty"),
        pytest.param(("ce_x", b"1"), ("ce_x", None), id="null"),
        pytest.param(("ce_x", "ä".encode()), ("ce_x", "ä".encode()[:1]), id="not UTF-8"),
    ],
)
def test_what_differs_from_what_is_remembered_is_judged(
    before: tuple[str, bytes | None], then: tuple[str, bytes | None]
) -> None:
    usual = [header for header in binary() if header[0] not in {"ce_time", before[0].lower()}]
    if before[0] == "ce_id":
        usual.append(("ce_id", b"1"))
    for _ in range(2):
        assert _said_of([*usual, before]) == "application/json"

        assert _said_of([*usual, then]) == _said_at_first_sight([*usual, then]) != "application/json"


def test_a_header_within_a_value_is_none() -> None:
    """However it is laid over headers that were good."""
    assert _said_of(binary(ce_id=b"iiiii")) == "application/json"
    hidden = [("ce_id" if name == "ce_source" else name, value) for name, value in binary() if name != "ce_id"]

    forged = [(name, b"1\x12ce_source\x02" if name == "ce_id" else value) for name, value in hidden]

    assert _said_of(forged) == _said_at_first_sight(forged) == "bad_envelope: missing: source"


def test_a_value_may_be_less_than_null() -> None:
    """Kafka takes any length below 0 for it; what stands behind is no value then, but no headers either."""
    good = joined([("x-trace", b"a"), *binary()])
    assert media_type_of(good, TicketLinked) == "application/json"

    with pytest.raises(Undecodable):
        media_type_of(good.replace(b"\x02a", b"\x03\0", 1), TicketLinked)


@pytest.mark.parametrize("last", [("ce_x", b"abc"), ("x-trace", b"abc"), ("content-type", b"application/json")])
def test_headers_that_were_good_end_where_they_end(last: tuple[str, bytes]) -> None:
    raw = joined([header for header in binary() if header[0] != last[0]] + [last])

    assert media_type_of(raw, TicketLinked) == "application/json"
    for wrong in (raw + b"more", raw[:-1]):
        with pytest.raises(Undecodable, match="the headers end elsewhere"):
            media_type_of(wrong, TicketLinked)


def test_headers_of_one_event_are_not_those_of_another() -> None:
    assert _said_of(binary()) == "application/json"
    assert _said_of(binary(), RecordingTransferred).startswith("unknown_type: ")
    assert _said_of(binary()) == "application/json"


def test_records_of_one_publisher_are_known_again_whatever_they_are_about() -> None:
    """Else each would be remembered anew."""
    for number in range(100):
        subject = b"R" * (number + 1)
        trace = ("x-trace", None if number % 7 else b"\xff" * number)
        about = binary(ce_id=subject + b":1", ce_subject=subject, ce_source=b"/host/%d" % number, ce_x="ä".encode())

        assert _said_of([*about, trace, trace]) == "application/json"

    assert headers._known[TicketLinked].number == 1


def test_forms_beyond_a_dozen_are_known_again_too() -> None:
    forms = [binary(**{f"ce_x{number:04}": b"1", "ce_last": b"1"}) for number in range(48)]
    for _ in range(3):
        for form in forms:
            assert _said_of(form) == "application/json"

    assert headers._known[TicketLinked].number == len(forms)


def test_beside_a_structured_event_headers_need_be_no_more_than_text() -> None:
    for time in (b"2025-01-29T12:00:00Z", b"noon", b"2025-01-29T12:00:01Z", b"noon"):
        assert _said_of([*STRUCTURED, ("ce_time", time)]) == "application/cloudevents+json"

    assert headers._known[TicketLinked].number == 1


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    for number in range(REMEMBERED * 5):
        assert _said_of(binary(**{f"ce_x{number:04}": b"1"})) == "application/json"
        assert headers._known[TicketLinked].number <= REMEMBERED


def test_headers_beyond_all_measure_are_not_remembered() -> None:
    assert _said_of(binary(ce_large=b"x" * 10_000)) == "application/json"
    assert _said_of([*binary(), ("ce_id", b"1")]) == "application/json"
    assert headers._known[TicketLinked].number == 0


@given(st.binary(max_size=60))
@example(b"\x02\x02x\x08v")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_there_is_judged(raw: bytes) -> None:
    try:
        assert media_type_of(raw, TicketLinked) == ""
    except Undecodable as error:
        assert error.reason in {"bad_header", "bad_envelope"}  # noqa: PT017  # either is an answer
