"""`ticketsync import` on a whole stack: every kind of file, every option, and how it ends."""

import csv
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.linker.spreadsheets import workbook
from tests.ops.on_a_stack import Stack
from tests.pipeline.running import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

MANY_ROWS = 9_000  # several lots, so that a kill after the first one is in the middle
HEADING = ("Datei", "CaseNo", "Kunde")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tickets.xlsx"


def test_a_workbook_goes_the_whole_way(stack: Stack, file: Path, tmp_path: Path) -> None:
    folder = stack.upload("a.wav", "recording (1).wav")
    rows = [HEADING, ("a.wav", "+49", "测试用户"), ("recording (1).wav", "CASE#456", "José García"), ("b.wav", "", "")]
    file.write_bytes(workbook({"notes": [("nothing",)], "calls": rows}))
    report = tmp_path / "report.csv"
    mapping = ["--map", "recording_name=datei", "--map", "ticket_id=CaseNo", "--map", "customer_name=Kunde"]
    arguments = ["import", file, *mapping, "--sheet", "calls", "--folder", folder]

    dry = stack(*arguments, "--dry-run", "--json")
    unchanged = stack.about(folder, "a.wav")
    done = stack(*arguments, "--report", report, "--json")
    stack.settle()
    again = stack(*arguments)

    assert (dry.code, done.code, again.code) == (1, 1, 1)
    assert dry.json["counts"] == done.json["counts"] == {"matched": 2, "invalid": 1}
    assert [dry.json["dry_run"], dry.json["repeated"], dry.json["rows_total"], dry.json["rows_left_out"]] == [
        True, False, 3, 0,
    ]  # fmt: skip
    assert [row["line"] for row in done.json["rows"]] == [2, 3, 4]
    assert unchanged["ticket_info"] is None
    assert "nothing was changed" in dry.err
    assert "1 of 3 rows need a look" in done.err
    with report.open(newline="") as text:
        assert [(row["line"], row["ticket_id"]) for row in csv.DictReader(text)] == [
            ("2", "'+49"),
            ("3", "CASE#456"),
            ("4", ""),
        ]
    assert stack.about(folder, "recording (1).wav")["ticket_info"]["customer_name"] == "José García"
    assert stack.about(folder, "a.wav")["link_version"] == 1
    assert "nothing was done" in again.err
    assert "ticket_id: is empty" in again.out


def test_another_ticket_is_kept_or_makes_the_row_fail(stack: Stack, tmp_path: Path) -> None:
    folder = stack.upload("a.wav")
    stack("link", f"{folder}/a.wav", "--ticket", "T-old")
    file = tmp_path / "tickets.csv"
    file.write_text(f"filename;folder;ticket_id\na.wav;{folder};T-1\n")

    kept = stack("import", file, "--on-existing", "keep", "--json")
    failed = stack("import", file, "--on-existing", "fail", "--json")
    replaced = stack("import", file, "--json")

    assert (kept.code, kept.json["counts"]) == (0, {"unchanged": 1})
    assert (failed.code, failed.json["counts"]) == (1, {"invalid": 1})
    assert (replaced.code, replaced.json["rows"][0]["replaced_ticket_id"]) == (0, "T-old")


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("tickets.xlsx", b"filename,ticket_id\na,1\n", "ends in .xlsx, but the content is text"),
        ("tickets.xlsx", b"PK\x03\x04", "damaged"),
        ("tickets.csv", b"", "empty"),
        ("tickets.csv", b"filename,ticket_id\n", "no rows"),
        ("tickets.csv", b"x" * 51_000_000, "50000000 bytes"),
    ],
    ids=["wrong-extension", "damaged", "empty", "header-only", "too-large"],
)
def test_a_file_that_cannot_be_read_ends_with_2(
    stack: Stack, tmp_path: Path, name: str, content: bytes, words: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)

    refused = stack("import", file, "--json")

    assert (refused.code, refused.out) == (2, "")
    assert words in refused.err


def test_a_report_that_cannot_be_written_is_said_before_anything_is_imported(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "tickets.csv"
    file.write_text("filename,ticket_id\nnever-imported.wav,T-1\n")

    refused = stack("import", file, "--report", tmp_path / "no" / "such" / "folder.csv")

    assert refused.code == 2
    assert "cannot be written" in refused.err


def test_imports_are_listed_and_shown(stack: Stack, tmp_path: Path) -> None:
    file, report = tmp_path / "bad.csv", tmp_path / "shown.csv"
    file.write_text("filename,ticket_id\nnowhere.wav,\n")
    import_id = stack("import", file, "--json").json["import_id"]

    newest = stack("imports", "list", "--limit", 1, "--json").json["items"][0]
    shown = stack("imports", "show", import_id, "--report", report, "--json").json
    unknown = stack("imports", "show", "nobody")

    assert (newest["import_id"], newest["filename"], newest["counts"]) == (import_id, "bad.csv", {"invalid": 1})
    assert [(row["line"], row["filename"], row["field"]) for row in shown["rows"]] == [(2, "nowhere.wav", "ticket_id")]
    assert "nowhere.wav" in report.read_text()
    assert import_id in stack("imports", "list").out
    assert unknown.code == 1


def test_a_recording_is_named_by_its_id_or_its_filename(stack: Stack) -> None:
    stack.upload("only.wav")
    first, second = stack.upload("both.wav"), stack.upload("both.wav")

    linked = stack("link", "only.wav", "--ticket", "T-1", "--json")
    unclear = stack("link", "both.wav", "--ticket", "T 2")
    waiting = stack("link", "never.wav", "--ticket", "T-3", "--json")
    withdrawn = stack("unlink", "never.wav", "--json")

    assert linked.json["outcome"] == "matched"
    assert unclear.code == 1
    assert unclear.err.count("ticketsync link ") == 2
    assert "--ticket 'T 2'" in " ".join(unclear.err.split())
    assert first in unclear.err
    assert second in unclear.err
    assert (waiting.json["outcome"], withdrawn.json["outcome"]) == ("parked", "withdrawn")


def test_an_import_whose_linker_is_killed_in_the_middle_goes_on_and_does_no_row_twice(
    stack: Stack, tmp_path: Path
) -> None:
    folder = stack.upload("first.wav", "last.wav")
    names = ["first.wav", *(f"{number}.wav" for number in range(MANY_ROWS - 2)), "last.wav"]
    file = tmp_path / "many.csv"
    file.write_text("filename,ticket_id\n" + "".join(f"{name},T-{line}\n" for line, name in enumerate(names, 2)))
    headers = {"Authorization": f"Bearer {stack.addresses['api_token']}"}
    with httpx.Client(base_url=stack.addresses["linker_url"], headers=headers, trust_env=False, timeout=10) as api:

        def receipt() -> dict[str, Any]:
            with suppress(httpx.TransportError):
                answer = api.get(f"/imports/{import_id}")
                return answer.json() if answer.is_success else {}
            return {}

        query = {"filename": file.name, "folder": folder}
        import_id = api.post("/imports", params=query, content=file.read_bytes()).json()["import_id"]
        eventually(lambda: receipt().get("rows_done"))
        stack.kill("linker")
        at_the_kill = receipt()
        eventually(lambda: receipt().get("status") == "done", within_s=90)
        done = receipt()

    assert at_the_kill == {}
    assert done["counts"] == {"matched": 2, "parked": MANY_ROWS - 2}
    stack.settle()
    waiting = stack("parked", "list", "--import", import_id, "--limit", MANY_ROWS, "--json").json["items"]
    assert len({one["filename"] for one in waiting}) == len(waiting) == MANY_ROWS - 2
    assert [stack.about(folder, name)["link_version"] for name in ("first.wav", "last.wav")] == [1, 1]
    assert stack.about(folder, "last.wav")["ticket_info"]["ticket_id"] == f"T-{MANY_ROWS + 1}"
