"""What the options of an import do, and what its report says."""

import csv
import io
from dataclasses import replace

import pytest

from shared.csv_text import as_csv
from tests.linker.given import a_recording, a_request
from tests.linker.importing import accepted, imported, outcomes, rows_of, uploaded
from tests.linker.running import Linker
from tests.linker.spreadsheets import workbook

TWO = "filename,ticket_id\nR1.wav,T-1\nR2.wav,T-2\n"


async def test_a_workbook_is_imported_with_its_sheet_and_mapping(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    book = workbook({"notes": [("nothing",)], "calls": [("Datei", "CaseNo", "id"), ("R1.wav", 4711, "x")]})

    rows = await imported(
        linker, book, filename="calls.xlsx", sheet="calls", map=["recording_name=Datei", "ticket_id=CaseNo"]
    )

    assert outcomes(rows) == [(2, "matched")]
    assert await linker.link() == (1, "4711")


@pytest.mark.parametrize(
    ("content", "options", "words"),
    [
        (TWO, {"map": ["ticket_id=CaseNo"]}, "no column 'CaseNo' for ticket_id"),
        (TWO, {"map": ["ticket=filename"]}, "no field 'ticket'"),
        (TWO, {"map": ["ticket_id"]}, "map.0"),
        (TWO, {"map": ["ticket_id=a", "ticket_id=b"]}, "more than once"),
        (TWO, {"on_existing": "ask"}, "on_existing"),
        (TWO, {"sheet": "S"}, "a text file has none"),
        (TWO, {"filename": "tickets.xlsx"}, "tickets.xlsx: the name ends in .xlsx, but the content is text"),
        ("", {}, "tickets.csv: the file is empty"),
        (TWO + '"R3.wav,T-3\n', {}, "tickets.csv: line 4: a quotation mark is not closed"),
    ],
)
async def test_what_cannot_be_read_is_refused_and_leaves_nothing(
    linker: Linker, content: str, options: dict[str, object], words: str
) -> None:
    answer = await uploaded(linker, content, **options)

    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert await linker.rows("select import_id from import") == []
    assert await linker.rows("select last_line from import_part") == []


async def test_a_file_over_a_limit_is_refused_before_anything_is_imported(linker: Linker) -> None:
    small = replace(linker, settings=linker.settings.model_copy(update={"import_max_rows": 2_500}))
    many = "filename,ticket_id\n" + "a,b\n" * 2_501

    too_many = await uploaded(small, many)
    too_large = await uploaded(small, "x" * 20_001)

    assert (too_many.status_code, too_large.status_code) == (422, 413)
    assert "line 2502: more than 2,500 rows (IMPORT_MAX_ROWS); nothing was imported" in too_many.json()["detail"]
    assert await linker.rows("select last_line from import_part") == []


async def test_a_file_of_many_lots_is_stored_whole_and_a_later_lot_replaces_a_row_of_an_earlier(linker: Linker) -> None:
    rows = "".join(f"{number},T\n" for number in range(2_500))

    import_id = await accepted(linker, f"file,id\n{rows}1,T-1\n")

    stored = await linker.rows("select rows from import_part where import_id = :id order by last_line", id=import_id)
    assert [one["rows"] for one in stored] == [2_000, 501]
    assert await linker.import_lot()
    assert [one.get("replaced_by_line") for one in (await rows_of(linker, import_id))[:3]] == [None, 2_502, None]


async def test_existing_tickets_are_kept_if_that_is_wanted(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"), a_recording("R3"))
    await linker.fold(a_request("a", "T-old", recording_id="R1"), a_request("b", "T-2", recording_id="R2"))
    content = TWO + "R3.wav,T-3\n"

    rows = await imported(linker, content, on_existing="keep")

    assert outcomes(rows) == [(2, "unchanged"), (3, "unchanged"), (4, "matched")]
    assert rows[0]["message"] == "ticket T-old is there already and is kept"
    assert [await linker.link(one) for one in ("R1", "R2", "R3")] == [(1, "T-old"), (1, "T-2"), (1, "T-3")]


async def test_existing_tickets_make_their_rows_fail_if_that_is_wanted(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    await linker.fold(a_request("a", "T-old"))

    rows = await imported(linker, TWO, on_existing="fail")

    assert outcomes(rows) == [(2, "invalid"), (3, "matched")]
    assert (rows[0]["field"], rows[0]["message"]) == ("ticket_id", "ticket T-old is there already")
    assert (await linker.link("R1"), await linker.link("R2")) == ((1, "T-old"), (1, "T-2"))


async def test_what_was_unlinked_stays_so_if_only_first_links_are_wanted(linker: Linker) -> None:
    await linker.fold(*(a_recording(f"R{number}") for number in (1, 2, 3, 4)))
    await linker.fold(a_request("a", "T-1", recording_id="R1"), a_request("b", "T-old", recording_id="R2"))
    await linker.fold(a_request("c", None, recording_id="R1"), a_request("d", None, recording_id="R3"))
    await linker.fold(a_request("e", "T-waits", recording_id="R5"))
    rows = "".join(f"R{number},T-{number}\n" for number in range(1, 7))

    found = await imported(linker, f"recording_id,ticket_id\n{rows}", on_existing="first")

    became = ["unchanged", "unchanged", "unchanged", "matched", "unchanged", "parked"]
    assert outcomes(found) == list(enumerate(became, start=2))
    assert [await linker.link(f"R{number}") for number in (1, 2, 4)] == [(2, None), (1, "T-old"), (1, "T-4")]
    await linker.fold(a_recording("R5"), a_recording("R6"))
    await linker.match()
    assert [await linker.link(f"R{number}") for number in (5, 6)] == [(1, "T-waits"), (1, "T-6")]


async def test_a_link_that_waits_is_an_existing_one(linker: Linker) -> None:
    await imported(linker, "filename,ticket_id\nR1.wav,T-old\n")
    kept = await imported(linker, TWO, on_existing="keep")
    failed = await imported(linker, TWO, on_existing="fail")

    assert outcomes(kept) == [(2, "unchanged"), (3, "parked")]
    assert outcomes(failed) == [(2, "invalid"), (3, "parked")]
    await linker.fold(a_recording("R1"), a_recording("R2"))
    await linker.match()
    assert (await linker.link("R1"), await linker.link("R2")) == ((1, "T-old"), (1, "T-2"))


async def test_a_parked_row_that_replaces_nothing_replaces_nothing_when_its_recording_arrives(linker: Linker) -> None:
    await imported(linker, "filename,ticket_id\nnew.wav,T-1\n", on_existing="keep")
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("a", "T-old"))

    await linker.fold(a_recording("R1", revision=2, filename="new.wav"))
    await linker.match()

    assert await linker.link() == (1, "T-old")
    assert await linker.parked() == []


async def test_a_dry_run_shows_the_outcome_and_changes_nothing(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    await linker.fold(a_request("a", "T-old"))
    content = TWO + "new.wav,T-3\n,T-4\n"
    before = await everything(linker)

    dry = await imported(linker, content, dry_run=True)

    assert await everything(linker) == before
    assert outcomes(dry) == [(2, "overwrite"), (3, "matched"), (4, "parked"), (5, "invalid")]
    assert dry[0]["replaced_ticket_id"] == "T-old"
    assert outcomes(await imported(linker, content)) == outcomes(dry)
    assert (await linker.link("R1"), await linker.link("R2")) == ((2, "T-1"), (1, "T-2"))


async def everything(linker: Linker) -> list[object]:
    return [
        await linker.rows(f"select * from {table} order by 1, 2")
        for table in ("link", "link_history", "parked_link", "recording")
    ]


async def test_the_report_has_a_line_for_each_row(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"), a_recording("R3", filename="R2.wav", folder_id="F2"))
    import_id = await accepted(linker, "filename,ticket_id\nR1.wav,=cmd\nR2.wav,T-2\n@x.wav,\n")
    await linker.import_lot()

    async with linker.api() as api:
        answer = await api.get(f"/imports/{import_id}/report")
        unknown = await api.get("/imports/nobody/report")

    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    lines = list(csv.DictReader(io.StringIO(answer.text)))
    assert [(one["line"], one["outcome"], one["ticket_id"]) for one in lines] == [
        ("2", "matched", "'=cmd"),
        ("3", "ambiguous", "T-2"),
        ("4", "invalid", ""),
    ]
    assert lines[1]["candidates"] == '["R2", "R3"]'
    assert (lines[2]["field"], lines[2]["message"]) == ("ticket_id", "is empty")
    assert unknown.status_code == 404


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "  =1", "\uff1d1"])
def test_cells_that_a_spreadsheet_would_run_are_made_text(cell: str) -> None:
    [row] = csv.reader(io.StringIO(as_csv([[cell, "a=1", None, 7]]), newline=""))
    assert row == [f"'{cell}", "a=1", "", "7"]
