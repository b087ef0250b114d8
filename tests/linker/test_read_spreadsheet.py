"""CSV files as people and spreadsheet programs make them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.linker.read_spreadsheet import Asked, Invalid, Unreadable, map_columns, read_csv

TWO = "filename,ticket_id,customer\nö.wav,T-1,José\nb.wav,T-2,\n"


def read(content: bytes | str, *, max_rows: int = 100) -> list[Asked | Invalid]:
    return read_csv(content.encode() if isinstance(content, str) else content, max_rows=max_rows)


@pytest.mark.parametrize(
    "content",
    [
        TWO.encode(),
        TWO.encode("utf-8-sig"),
        TWO.encode("utf-16"),
        b"\xfe\xff" + TWO.encode("utf-16-be"),
        TWO.encode("cp1252"),
        TWO.replace(",", ";").encode(),
        TWO.replace(",", "\t").encode(),
        TWO.replace(",", "|").encode(),
        TWO.replace("\n", "\r\n").encode(),
        TWO.replace("\n", "\r").encode(),
        TWO.rstrip().encode(),
        TWO.replace("filename,ticket_id,customer", '"File Name",TICKET-ID, Client_Name ').encode(),
    ],
)
def test_encodings_delimiters_and_line_ends_make_no_difference(content: bytes) -> None:
    assert read(content) == [
        Asked(2, None, "ö.wav", None, {"ticket_id": "T-1", "customer_name": "José"}),
        Asked(3, None, "b.wav", None, {"ticket_id": "T-2", "customer_name": ""}),
    ]


def test_rows_have_the_number_of_the_line_on_which_they_begin() -> None:
    rows = read('\n  \nfilename,ticket_id,agent\n\n"a\nb.wav",T-1,x\n,,\nc.wav,T-2,"y"\n"d.wav","T\n3",z\ne.wav,T-4\n')
    assert [(row.line, type(row)) for row in rows] == [(5, Asked), (8, Asked), (9, Invalid), (11, Asked)]
    assert rows[3] == Asked(11, None, "e.wav", None, {"ticket_id": "T-4"})


@pytest.mark.parametrize(
    ("row", "field"),
    [
        (",T-1,", "recording_name"),
        ("a.wav,,", "ticket_id"),
        ("a.wav,T\x00,", "ticket_id"),
        ("a\x00.wav,T-1,", "recording_name"),
        ("a.wav," + "T" * 101 + ",", "ticket_id"),
        ("a" * 501 + ",T-1,", "recording_name"),
        ("a.wav,T-1,javascript:x", "ticket_url"),
        ("a.wav,T-1,https://u:p@x/", "ticket_url"),
    ],
)
def test_a_bad_row_names_its_field_and_the_others_are_read(row: str, field: str) -> None:
    rows = read(f"filename,ticket_id,url\n{row}\nb.wav,T-2,https://x/1\n")
    assert isinstance(rows[0], Invalid)
    assert (rows[0].line, rows[0].field) == (2, field)
    assert isinstance(rows[1], Asked)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "empty"),
        ("\n \n", "empty"),
        (",,,\n", "empty"),
        ("filename,ticket_id\n", "no rows"),
        ("filename,ticket_id\n\n,\n", "no rows"),
        ("filename,customer\na,b\n", "ticket_id"),
        ("ticket_id\nT-1\n", "recording_name"),
        ("my filename,ticket_ids\na,b\n", "recording_name"),
        ("filename,ticket_id\na,1\nb,2\nc,3\n", "more than 2 rows"),
        (b"filename,ticket_id\n\x81,1\n", "neither"),
        (b"\xff\xfef", "neither"),
        ("filename,ticket_id\n" + "a" * 1_000_001 + ",1\n", "line 2"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_as_a_whole(content: bytes | str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read(content, max_rows=2)


def test_columns_are_found_by_exact_name_in_the_order_of_the_names() -> None:
    assert map_columns(["ID", "Ticket", "file", "Filename", "recording_uuid", "batch"]) == {
        "recording_name": 3,
        "ticket_id": 1,
        "folder": 5,
        "recording_id": 4,
    }


def test_a_recording_id_counts_more_than_a_name() -> None:
    assert read("recording_id,filename,ticket_id\nR1,a.wav,T-1\n,b.wav,T-2\n") == [
        Asked(2, "R1", None, None, {"ticket_id": "T-1"}),
        Asked(3, None, "b.wav", None, {"ticket_id": "T-2"}),
    ]


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda rest: b"filename,ticket_id\n" + rest)))
def test_whatever_the_bytes_are_only_unreadable_is_raised(content: bytes) -> None:
    try:
        rows = read(content)
    except Unreadable:
        return
    assert rows
    assert [row.line for row in rows] == sorted({row.line for row in rows})


CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_as_many_rows_come_out_as_went_in(cells: list[tuple[str, str]], delimiter: str) -> None:
    lines = [delimiter.join(f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row) for row in cells]
    expected = sum(any(cell.strip() for cell in row) for row in cells)
    try:
        rows = read("\n".join([f"filename{delimiter}ticket_id", *lines]))
    except Unreadable:
        assert expected == 0
        return
    assert len(rows) == expected
