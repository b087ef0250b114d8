"""Files that cannot be used are refused by every route that takes one, with words, and nothing of them is kept."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.linker.lines import Limits, SpreadsheetFile, Unreadable
from services.linker.preview_spreadsheet import preview
from tests.linker.given import a_recording
from tests.linker.importing import uploaded
from tests.linker.running import Linker
from tests.linker.spreadsheets import MEGABYTES, raw_workbook, read, sheet_xml, workbook

HEADING = ("filename", "ticket_id")
ENCRYPTED = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(504) + "EncryptedPackage".encode("utf-16-le") + bytes(480)
ENTITIES = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><worksheet>&a;</worksheet>'
ZEROS = {"xl/media/zeros.bin": bytes(2 * MEGABYTES)}

BAD: dict[str, tuple[str, bytes, str]] = {
    "an empty file": ("t.csv", b"", "empty"),
    "nothing but blank lines": ("t.csv", b"\n , \n", "empty"),
    "an empty workbook": ("t.xlsx", workbook({"S": []}), "empty"),
    "a name for no spreadsheet": ("t.pdf", b"filename,ticket_id\na,1\n", "ends in .pdf"),
    "a text that calls itself a workbook": ("t.xlsx", b"filename,ticket_id\na,1\n", "the content is text"),
    "a workbook that calls itself a text": ("t.csv", workbook({"S": [HEADING]}), "the content is XLSX"),
    "an encrypted workbook": ("t.xlsx", ENCRYPTED, "encrypted"),
    "a zip bomb": ("t.xlsx", raw_workbook(sheet_xml(("A1", "filename")), more=ZEROS), "zip bomb"),
    "XML entities": ("t.xlsx", raw_workbook(ENTITIES), "XML entities"),
    "a damaged workbook": ("t.xlsx", workbook({"S": [HEADING, ("a", "1")]})[:-300], "damaged"),
    "10,000 columns": ("t.csv", b"filename,ticket_id" + b"," * 9_998 + b"\na,1\n", "10,000 columns"),
    "no text at all": ("t.csv", b"filename,ticket_id\n\x81\x8d,1\n", "neither UTF-8"),
    "a quotation mark without its other": ("t.csv", b'filename,ticket_id\n"a,1\n', "quotation mark"),
}
# Not enough to be imported, but enough to be looked at.
INCOMPLETE: dict[str, tuple[str, bytes, str]] = {
    "a header alone": ("t.csv", b"filename,ticket_id\n", "no rows"),
    "a workbook with a header alone": ("t.xlsx", workbook({"S": [HEADING]}), "no rows"),
    "no column that can be used": ("t.csv", b"colour,shape\nred,round\n", "no column for recording_name"),
}


@pytest.mark.parametrize("name", [*BAD, *INCOMPLETE])
async def test_a_bad_file_is_refused_in_words_and_leaves_nothing(linker: Linker, name: str) -> None:
    filename, content, words = {**BAD, **INCOMPLETE}[name]
    answers = [await uploaded(linker, content, filename=filename)]
    if name in BAD:
        async with linker.api() as api:
            answers.append(await api.post("/uploads", params={"filename": filename}, content=content))

    for answer in answers:
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert answer.json()["detail"].startswith(f"{filename}: ")
        assert words in answer.json()["detail"]
        assert answer.json()["errors"][0]["field"] == "file"
    assert await linker.rows("select import_id from import union all select upload_id from upload") == []
    assert await linker.rows("select * from import_part") == []


def test_of_a_formula_the_saved_value_is_read_and_never_the_formula() -> None:
    rows = read(
        workbook({"S": [HEADING, ('=HYPERLINK("http://x.example","a.wav")', "T-1"), ("b.wav", "T-2")]}), "t.xlsx"
    )

    assert [row.line for row in rows] == [2, 3]
    assert "HYPERLINK" not in repr(rows)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.binary(max_size=300), st.binary(max_size=300).map(lambda rest: b"filename,ticket_id\n" + rest)))
def test_whatever_can_be_imported_can_be_looked_at_and_the_look_raises_nothing_but_unreadable(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder, "file")
        path.write_bytes(content)
        try:
            shown = preview(SpreadsheetFile(path, "t"), Limits(10_000, MEGABYTES, 400 * MEGABYTES), given={})
        except Unreadable:
            shown = None
    try:
        rows = read(content, "t")
    except Unreadable:
        return
    assert shown is not None
    assert shown.missing == []
    assert [line.number for line in shown.rows] == [row.line for row in rows][: len(shown.rows)]


NAMES = st.sampled_from(["", " ", "R1.wav", "R1", "R2.wav", "x", "x.wav", "new.wav", "a\0b", "n" * 501, "a,b", 'q"q'])
TICKETS = st.sampled_from(["", "T-1", "T-2", " T-1 ", "T" * 101, "a\nb", "\t"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(NAMES, TICKETS), max_size=12),
    on_existing=st.sampled_from(["overwrite", "keep", "fail"]),
    park=st.booleans(),
)
async def test_every_row_that_goes_in_comes_out_with_one_outcome(
    linker: Linker, rows: Sequence[tuple[str, str]], on_existing: str, *, park: bool
) -> None:
    await linker.fold(*(a_recording(one, filename=f"{one}.wav") for one in ("R1", "R2")))
    await linker.fold(a_recording("R3", filename="x.wav"), a_recording("R4", filename="x.wav", folder_id="F2"))
    written = io.StringIO()
    csv.writer(written).writerows([HEADING, *rows])
    filled = sum(any(cell.strip() for cell in row) for row in rows)

    answer = await uploaded(linker, written.getvalue(), on_existing=on_existing, park=park)
    if not filled:
        assert (answer.status_code, "no rows" in answer.json()["detail"]) == (422, True)
        return
    import_id = answer.json()["import_id"]
    while await linker.import_lot():
        pass

    async with linker.api() as api:
        receipt = (await api.get(f"/imports/{import_id}")).json()
        report = list(csv.DictReader(io.StringIO((await api.get(f"/imports/{import_id}/report")).text)))
    assert receipt["status"] == "done"
    assert receipt["rows_total"] == receipt["rows_done"] == sum(receipt["counts"].values()) == filled
    assert len(report) == filled
    assert all(row["outcome"] in receipt["counts"] for row in report)
