"""The import command while its linker does not answer, and while its report cannot be written."""

import json
from pathlib import Path

import pytest

from ops.exits import Unreachable
from ops.import_links import finished
from ops.main import main
from ops.service_api import ServiceApi
from tests.ops.answering import Reply, answering


async def test_whoever_loses_sight_of_an_import_is_told_where_its_receipt_is() -> None:
    with answering(Reply(status=500)) as server:
        async with ServiceApi("linker", server.url, "token") as linker:
            with pytest.raises(Unreachable) as lost:
                await finished(linker, "I-7", patience_s=0)

    assert lost.value.todo == "The import goes on by itself; the linker shows it under /imports/I-7."


DONE = {
    "import_id": "I-7", "repeated": False, "filename": "a.csv", "dry_run": False, "accepted_at": "2025-01-29T10:30:00Z",
    "finished_at": None, "status": "done", "rows_total": 1, "rows_done": 1, "counts": {"matched": 1}, "items": [],
}  # fmt: skip


@pytest.mark.parametrize(
    ("leads_to", "code", "asked"), [("/dev/null", 0, 4), ("/dev/full", 1, 4), ("no/such/folder/r.csv", 2, 0)]
)
def test_only_if_nothing_was_imported_a_report_is_wrong_use(
    leads_to: str,
    code: int,
    asked: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file, report = tmp_path / "a.csv", tmp_path / "report"
    file.write_text("filename,ticket_id\na.wav,T-1\n")
    report.symlink_to(leads_to)
    monkeypatch.setenv("API_TOKEN", "x")
    with answering(Reply(body=json.dumps(DONE).encode())) as linker:
        monkeypatch.setenv("LINKER_URL", linker.url)
        ended = main(["import", str(file), "--report", str(report)])
    told = capsys.readouterr()

    assert (ended, len(linker.seen), report.is_symlink()) == (code, asked, True)
    assert ("matched" in told.out) == (asked > 0)
    assert ("ticketsync imports show I-7 --report FILE" in told.err) == (code == 1)
