"""Headers as they stand in a record are taken apart and put together without loss."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.raw_headers import NO_HEADERS, joined, split
from tests.schemas.records import Headers


@given(st.lists(st.tuples(st.text(st.characters(codec="utf-8"), max_size=70), st.none() | st.binary(max_size=70))))
def test_headers_are_read_as_they_were_written(found: Headers) -> None:
    assert split(joined(found)) == found


def test_a_name_that_is_no_text_is_kept_as_it_was_sent() -> None:
    raw = b"\x02\x04x\xe9\x02v"

    assert split(raw) == [("x\udce9", b"v")]
    assert joined(split(raw)) == raw


def test_no_headers_are_a_number_too() -> None:
    assert joined([]) == NO_HEADERS
    assert split(NO_HEADERS) == []


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"\x02", id="no name"),
        pytest.param(b"\x02\x02", id="a name's length alone"),
        pytest.param(b"\x02\x02x", id="no value"),
        pytest.param(b"\x02\x02x\x08v", id="a value beyond the end"),
        pytest.param(b"\x00more", id="something behind"),
        pytest.param(b"\x02\x01", id="a name that is null"),
        pytest.param(b"\x02\x01\x02v", id="a name that is null, and a value"),
        pytest.param(b"\x01", id="less than none"),
        pytest.param(b"\x02\x40x\x02v", id="a name beyond the end"),
    ],
)
def test_what_are_no_headers_is_told(raw: bytes) -> None:
    with pytest.raises(ValueError, match="header"):
        split(raw)
