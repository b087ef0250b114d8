"""CSV files as people and spreadsheet programs make them."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import TicketDetails
from services.linker.lines import Line, Unreadable
from services.linker.map_columns import map_columns
from services.linker.read_row import TICKET_FIELDS, Asked, Invalid, row_reader
from tests.linker.spreadsheets import read

TWO = "filename,ticket_id,customer\nö.wav,T-1,José\nb.wav,T-2,\n"


@pytest.mark.parametrize(
    "content",
    [
        TWO.encode(),
        TWO.encode("utf-8-sig"),
        TWO.encode("utf-16"),
        b"\xfe\xff" + TWO.encode("utf-16-be"),
        TWO.encode("cp1252"),
        TWO.encode("utf-16-le"),
        TWO.encode("utf-16-be"),
        TWO.replace(",", ":").encode(),
        TWO.replace(",", "^").encode(),
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


def test_a_ticket_has_the_fields_that_its_rules_have() -> None:
    assert tuple(TicketDetails.model_fields) == TICKET_FIELDS


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
        ("a.wav," + "T" * 1_048_576 + ",", "ticket_id"),
        ("a" * 1_048_576 + ",T-1,", "recording_name"),
        ("a,wav,T-1,https://x/1", "columns"),
        ("a.wav,#N/A,", "ticket_id"),
        ("a.wav,#BEZUG!,", "ticket_id"),
        ("a.wav,#ÜBERLAUF!,", "ticket_id"),
        ("a.wav,T-1,#REF!", "ticket_url"),
        ("#NAME?,T-1,", "recording_name"),
        ("a.wav,1.23457E+16,", "ticket_id"),
        ('a.wav,"1,2e+16",', "ticket_id"),
        ("1E+10,T-1,", "recording_name"),
    ],
)
def test_a_bad_row_names_its_field_and_the_others_are_read(row: str, field: str) -> None:
    rows = read(f"filename,ticket_id,url\n{row}\nb.wav,T-2,https://x/1\n")
    assert isinstance(rows[0], Invalid)
    assert (rows[0].line, rows[0].field) == (2, field)
    assert isinstance(rows[1], Asked)


def test_a_bad_row_says_which_recording_it_names_if_that_can_be_shown() -> None:
    assert read("filename,ticket_id\na.wav,\n" + "a" * 501 + ",T-1\n") == [
        Invalid(2, "ticket_id", "is empty", "a.wav"),
        Invalid(3, "recording_name", "is longer than 500 characters", None),
    ]


def test_two_columns_of_one_name_that_nobody_asks_for_are_no_fault() -> None:
    assert read("note,filename,note,ticket_id\nx,a.wav,y,T-1\n") == [
        Asked(2, None, "a.wav", None, {"ticket_id": "T-1"})
    ]


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
        (b"filename,ticket_id\na,1\n\x81,1\n", "line 3: the file is neither"),
        (b"\xff\xfef", "line 1: the file is no valid UTF-16 text"),
        (TWO.encode("utf-16") + b"\x00\xd8a\x00", "line 4: the file is no valid UTF-16 text"),
        ("filename,CaseNo\na,1\n", "say which it is: map ticket_id=COLUMN"),
        ("filename,ticket_id\na,1\n" + "a" * 10_000_001 + ",1\n", "line 3: a cell is longer than 10,000,000"),
        ('filename,ticket_id\na,1\n"b,2\nc,3\n', "line 3: a quotation mark is not closed"),
        ('filename,ticket_id\n"a"x,1\n', "line 2: a quotation mark"),
        ("ticket_id;filename;Ticket ID\n1;a;2\n", r"line 1: columns 1 \('ticket_id'\) and 3 \('Ticket ID'\)"),
        ("filename,ticket_id" + ",x" * 9_998 + "\na,1\n", "line 1: the file has 10,000 columns; at most 1,000"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_as_a_whole(content: bytes | str, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read(content, max_rows=2)


def test_a_limit_on_rows_is_no_silent_cut() -> None:
    assert len(read("filename,ticket_id\na,1\n\nb,2\n", max_rows=2)) == 2


def test_a_spreadsheet_program_may_say_its_delimiter() -> None:
    rows = read("sep=;\r\nfilename;ticket_id;name\r\na.wav;T-1;Smith, Ann\r\n")
    assert rows == [Asked(3, None, "a.wav", None, {"ticket_id": "T-1", "customer_name": "Smith, Ann"})]


def test_the_delimiter_is_the_one_with_which_the_needed_columns_are_there() -> None:
    rows = read("filename;ticket_id;a,b,c,d,e\nx.wav;T-1;1,2\n")
    assert rows == [Asked(2, None, "x.wav", None, {"ticket_id": "T-1"})]


@pytest.mark.parametrize("ticket", ["#456", "INC#1!", "1E5", "E+10", "2.5", "#N/A-7"])
def test_an_id_that_only_resembles_a_spreadsheets_error_is_one(ticket: str) -> None:
    assert read(f"filename,ticket_id\na.wav,{ticket}\n") == [Asked(2, None, "a.wav", None, {"ticket_id": ticket})]


@pytest.mark.parametrize("name", ["José García", "测试用户", "O'Brien & Sons, Inc.", "=1+1"])
def test_names_and_ids_of_all_the_world_are_kept_as_they_are(name: str) -> None:
    rows = read(f'filename,case id,client\nrecording (1).wav,CASE#456,"{name}"\nb.wav,INC_789,\n')
    assert rows == [
        Asked(2, None, "recording (1).wav", None, {"ticket_id": "CASE#456", "customer_name": name}),
        Asked(3, None, "b.wav", None, {"ticket_id": "INC_789", "customer_name": ""}),
    ]


@pytest.mark.parametrize(
    ("filename", "content", "words"),
    [
        ("tickets.xlsx", b"filename,ticket_id\na,1\n", "ends in .xlsx, but the content is text"),
        ("tickets.csv", b"PK\x03\x04 and so on", "ends in .csv, but the content is XLSX"),
        ("tickets.xlsx", bytes.fromhex("d0cf11e0a1b11ae1"), "encrypted"),
        ("tickets.pdf", b"%PDF-1.7", "ends in .pdf is none of a spreadsheet"),
        ("tickets.txt", b"%PDF-1.7", "content is PDF"),
        ("tickets.exe", b"filename,ticket_id\na,1\n", "ends in .exe"),
    ],
)
def test_a_name_that_says_something_else_than_the_content_is_refused(filename: str, content: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read(content, filename)


def test_the_callers_own_mapping_wins_and_takes_its_column() -> None:
    header = ["CaseNo", "ticket", "file", "Client", "name"]
    assert map_columns(header, {"ticket_id": "CaseNo", "call_intent": "client"}) == {
        "recording_name": 2,
        "ticket_id": 0,
        "customer_name": 4,
        "call_intent": 3,
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ticket_id": "Nummer"}, "no column 'Nummer' for ticket_id; the columns are 'file', 'id'"),
        ({"tickets": "id"}, "no field 'tickets'"),
        ({"ticket_id": "file", "recording_name": "File"}, "more than one field"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        map_columns(["file", "id"], given)


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


@given(
    st.lists(
        st.sampled_from(["", "a", "T-1", "#N/A", "1E+5", "x" * 101, "x" * 100, "a\x85b", "\x00"]) | CELL, max_size=5
    )
)
def test_what_is_taken_at_a_glance_breaks_no_rule(cells: list[str]) -> None:
    columns = {"recording_name": 0, "ticket_id": 1, "customer_name": 2, "ticket_url": 3}
    row = row_reader(columns, width=4)(Line(2, cells))

    if isinstance(row, Asked):
        given = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
        assert len(cells) <= 4 or not any(cell.strip() for cell in cells[4:])
        assert given["recording_name"]
        assert not any(cell.startswith("#N/A") for cell in given.values())
        assert "1E+5" not in (given["recording_name"], given["ticket_id"])
        TicketDetails.model_validate(row.ticket)
