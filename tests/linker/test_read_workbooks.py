"""Workbooks as spreadsheet programs make them, and as people make them who mean harm."""

import os
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.linker.lines import Unreadable
from services.linker.read_row import Asked, Invalid
from tests.linker.spreadsheets import MEGABYTES, raw_workbook, read, sheet_xml, workbook

# Written with xlwt 1.3: heading in row 3 from the second column on; a date, a number, a boolean, a formula.
XLS = Path(__file__).with_name("tickets.xls").read_bytes()
HEADING = ("File Name", "Case ID", "Client")
ROWS = [HEADING, ("recording (1).wav", "CASE#456", "José García"), ("测试.wav", 789, "测试用户")]


def test_a_workbook_reads_like_the_same_rows_as_text() -> None:
    assert read(workbook({"Tickets": ROWS}), "tickets.XLSX") == [
        Asked(2, None, "recording (1).wav", None, {"ticket_id": "CASE#456", "customer_name": "José García"}),
        Asked(3, None, "测试.wav", None, {"ticket_id": "789", "customer_name": "测试用户"}),
    ]


def test_an_old_workbook_is_read_and_its_lines_are_those_of_the_sheet() -> None:
    rows = read(XLS, "tickets.xls")
    assert rows == [
        Asked(4, None, "recording (1).wav", None, ticket("CASE#456", "José García", "Refund")),
        Asked(5, None, "测试.wav", None, ticket("789", "测试用户", "")),
        Asked(6, None, "2025-01-29", None, ticket("1.5", "TRUE", "")),
    ]


def ticket(ticket_id: str, customer: str, intent: str) -> dict[str, str]:
    return {"ticket_id": ticket_id, "customer_name": customer, "call_intent": intent, "ticket_url": ""}


def test_cells_read_as_people_see_them() -> None:
    rows = [("file", "id", "customer"), ("a.wav", 12345678901234, date(2025, 1, 29)), (7, 1.25, True), ("", "", "")]
    assert read(workbook({"S": [*rows, ("b.wav", "", "x")]}), "tickets.xlsx") == [
        Asked(2, None, "a.wav", None, {"ticket_id": "12345678901234", "customer_name": "2025-01-29"}),
        Asked(3, None, "7", None, {"ticket_id": "1.25", "customer_name": "TRUE"}),
        Invalid(5, "ticket_id", "is empty", "b.wav"),
    ]


def test_the_first_sheet_that_is_shown_is_read_unless_another_is_chosen() -> None:
    book = workbook({"old": [HEADING, ("old.wav", "T-0", "")], "new": ROWS, "": []}, hidden="old")

    assert [row.line for row in read(book, "tickets.xlsx")] == [2, 3]
    assert read(book, "tickets.xlsx", sheet="old") == [
        Asked(2, None, "old.wav", None, {"ticket_id": "T-0", "customer_name": ""})
    ]
    with pytest.raises(Unreadable, match="no sheet 'x'; it has 'old', 'new'"):
        read(book, "tickets.xlsx", sheet="x")
    with pytest.raises(Unreadable, match="a text file has none"):
        read("filename,ticket_id\na,1\n", sheet="new")


def test_what_a_stranger_packs_is_refused_before_it_is_loaded() -> None:
    zeros = {"xl/media/zeros.bin": bytes(2 * MEGABYTES)}
    noise = {"xl/media/noise.bin": os.urandom(2 * MEGABYTES)}
    entities = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><worksheet>&a;</worksheet>'
    sheet = sheet_xml(("A1", "filename"))
    refused = {
        "as a zip bomb does": raw_workbook(sheet, more=zeros),
        "at most 1,000,000 are read": raw_workbook(sheet, more=noise),
        "declares XML entities": raw_workbook(entities),
        "10,005 entries": raw_workbook(sheet, more={f"{number}.bin": b"" for number in range(10_000)}),
    }
    for words, content in refused.items():
        limit = MEGABYTES if "1,000,000" in words else 100 * MEGABYTES
        with pytest.raises(Unreadable, match=words):
            read(content, "tickets.xlsx", max_unpacked_bytes=limit)
    in_utf_16 = raw_workbook(sheet, more={"xl/other.xml": entities.encode("utf-16")})
    with pytest.raises(Unreadable, match="declares XML entities"):
        read(in_utf_16, "tickets.xlsx")


def test_two_cells_as_far_apart_as_can_be_cost_the_file_and_nothing_else() -> None:
    with pytest.raises(Unreadable, match=r"more memory|columns"):
        read(raw_workbook(sheet_xml(("A1", "filename"), ("XFD1048576", "T-1"))), "tickets.xlsx")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (workbook({"S": []}), "empty"),
        (workbook({"S": [HEADING]}), "no rows"),
        (workbook({"S": [("colour", "shape"), ("red", "round")]}), "no column for recording_name"),
        (workbook({"S": [[*HEADING, *map(str, range(9_997))], ("a.wav", "1")]}), "10,000 columns"),
        (workbook({"S": ROWS})[:-400], "damaged"),
        (b"PK\x03\x04 and so on", "damaged"),
        (raw_workbook("<worksheet><sheetData><row"), "damaged|empty"),
    ],
)
def test_a_workbook_that_cannot_be_used_says_why(content: bytes, words: str) -> None:
    with pytest.raises(Unreadable, match=words):
        read(content, "tickets.xlsx")


def test_a_zip_archive_is_no_workbook() -> None:
    with pytest.raises(Unreadable, match="ZIP archive but no XLSX workbook"):
        read(raw_workbook("<x/>").replace(b"xl/workbook.xml", b"xl/workbonk.xml"), "tickets.xlsx")


def test_an_encrypted_workbook_is_named_so() -> None:
    container = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(480)
    for filename in ("tickets.xlsx", "tickets.xls"):
        with pytest.raises(Unreadable, match="encrypted"):
            read(container, filename)


def test_a_cell_of_a_megabyte_is_one_bad_row() -> None:
    long = "".join(map(str, range(200_000)))
    cells = [("A1", "file"), ("B1", "id"), ("A2", "a.wav"), ("B2", long), ("A3", "b.wav"), ("B3", "T-2")]

    rows = read(raw_workbook(sheet_xml(*cells)), "tickets.xlsx")

    assert rows == [
        Invalid(2, "ticket_id", "String should have at most 100 characters", "a.wav"),
        Asked(3, None, "b.wav", None, {"ticket_id": "T-2"}),
    ]


def test_a_cell_over_the_limit_costs_the_file_and_names_its_line() -> None:
    long = "".join(map(str, range(1_600_000)))
    assert len(long) > 10_000_000

    with pytest.raises(Unreadable, match="line 2: a cell is longer than 10,000,000 characters"):
        read(raw_workbook(sheet_xml(("A1", "file"), ("B1", "id"), ("A2", long))), "tickets.xlsx")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, len(XLS) - 1), st.binary(min_size=1, max_size=64), st.sampled_from(["xls", "xlsx"]))
def test_a_workbook_with_damage_anywhere_is_read_or_refused(place: int, noise: bytes, kind: str) -> None:
    whole = XLS if kind == "xls" else workbook({"Tickets": ROWS})
    place %= len(whole)
    damaged = whole[:place] + noise + whole[place + len(noise) :]
    try:
        rows = read(damaged, f"tickets.{kind}")
    except Unreadable:
        return
    assert rows
