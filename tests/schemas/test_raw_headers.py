"""Headers as they stand in a record, and what is remembered of them: it never changes what is said of a record."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas import headers
from schemas.events import RecordingTransferred, TicketLinked
from schemas.headers import LAYOUTS_OF_A_LENGTH, REMEMBERED, media_type_of
from schemas.raw_headers import NO_HEADERS, joined, split
from schemas.undecodable import Undecodable
from tests.schemas.records import STRUCTURED, Headers, binary, binary_without

_names = st.sampled_from(
    ["content-type", "ce_id", "CE_ID", "ce_time", "ce_type", "ce_source", "ce_x", "x-other", "x-é"]
)
_values = st.sampled_from(
    [None, b"", b"1", b"2", b"1.0", b"\xff", b"application/json", b"2025-01-29T12:00:00Z", b"2025-99-29T12:00:00Z"]
)
_usual = binary(ce_subject=b"R1")


def _said_of(raw: bytes | Headers, event: type[TicketLinked | RecordingTransferred] = TicketLinked) -> str:
    try:
        return media_type_of(raw, event)
    except Undecodable as error:
        return f"{error.reason}: {error.error}"


def _said_at_first_sight(raw: bytes) -> str:
    headers._known.clear()
    headers._layouts.clear()
    return _said_of(raw)


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=70), st.none() | st.binary(max_size=70))))
def test_headers_are_read_as_they_were_written(found: Headers) -> None:
    assert split(joined(found)) == found


def test_a_name_that_is_no_text_is_kept_as_it_was_sent() -> None:
    raw = b"\x02\x04x\xe9\x02v"

    assert split(raw) == [("x\udce9", b"v")]
    assert joined(split(raw)) == raw


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x02", b"\x02\x02", b"\x02\x02x", b"\x02\x02x\x08v", b"\x00more", b"\x02\x01x\x02v", b"\x02\x40x\x02v"],
)
def test_what_are_no_headers_is_a_dead_letter(raw: bytes) -> None:
    """No broker takes such a record."""
    with pytest.raises(ValueError, match="header"):
        split(raw)
    assert _said_of(raw).startswith("bad_header: ")


@given(st.binary(max_size=60))
def test_whatever_stands_there_is_judged(raw: bytes) -> None:
    assert isinstance(_said_of(raw), str)


@given(changes=st.lists(st.tuples(st.integers(0, len(_usual)), _names, _values), max_size=2), add=st.booleans())
@example(changes=[(2, "ce_id", b"\xff")], add=False)
@example(changes=[(5, "ce_time", b"2025-99-29T12:00:00Z")], add=False)
@example(changes=[(7, "ce_id", b"2")], add=False)
def test_what_is_remembered_of_others_changes_nothing(
    changes: list[tuple[int, str, bytes | None]], *, add: bool
) -> None:
    changed = list(_usual)
    for place, name, value in changes:
        changed[place : place + (0 if add else 1)] = [(name, value)]
    raw = joined(changed)

    expected = _said_at_first_sight(raw)

    assert _said_of(raw) == expected
    _said_at_first_sight(joined(_usual))
    for similar in (binary(), _usual, binary(ce_id=b"2", ce_subject=b"R2"), binary(ce_x=b"1"), STRUCTURED, []):
        _said_of(joined(similar))
    assert (_said_of(raw), _said_of(raw)) == (expected, expected)


def test_headers_of_one_event_are_not_those_of_another() -> None:
    assert _said_of(binary()) == "application/json"
    assert _said_of(binary(), RecordingTransferred).startswith("unknown_type: ")
    assert _said_of(binary()) == "application/json"


def test_a_header_that_comes_twice_has_to_say_the_same() -> None:
    twice = [*binary(), ("ce_id", b"1")]

    assert _said_of(twice) == _said_of(twice) == "application/json"
    assert _said_of([*binary(), ("ce_id", b"2")]) == "bad_header: 'ce_id' stands there twice"


def test_what_says_nothing_may_say_anything() -> None:
    for trace in (b"\xff" * 9, b"\x00" * 9, b"a-trace-9"):
        assert _said_of([("x-trace", trace), *binary()]) == "application/json"


def test_no_more_is_remembered_than_there_is_room_for() -> None:
    for number in range(REMEMBERED * 2):
        assert _said_of(binary(**{f"ce_x{number:04}": b"1"})) == "application/json"
        assert len(headers._known) <= REMEMBERED
    assert all(len(found) <= LAYOUTS_OF_A_LENGTH for found in headers._layouts.values())
    assert _said_of(binary_without("ce_id")) == "bad_envelope: missing: id"
    assert _said_of(NO_HEADERS) == ""


def test_headers_beyond_all_measure_are_not_remembered() -> None:
    _said_at_first_sight(joined(_usual))
    before = len(headers._known)

    assert _said_of(binary(ce_large=b"x" * 10_000)) == "application/json"
    assert len(headers._known) == before
