"""What verify has found so far: all of it reaches whoever reads, and little of it stays in memory."""

import asyncio
import json
import sys
import tracemalloc
from pathlib import Path

import pytest

from ops.answers.verification import Compared, Verification
from ops.json_stream import JsonStream
from ops.verify_report import SHOWN_MAX, Report


def a_folder(number: int, *, findings: int) -> Verification:
    items = [
        Compared(
            recording_id=f"R{number}-{one}",
            filename=f"{one}.wav",
            verdict="stale",
            link_version=1,
            shown_link_version=None,
            shown_ticket_id=None,
        )
        for one in range(findings)
    ]
    return Verification(folder_id=f"F{number}", observed=True, counts={"stale": findings}, items=items)


def test_json_that_is_written_as_it_comes_is_one_value(capsys: pytest.CaptureFixture[str]) -> None:
    stream = JsonStream()
    report = Report(stream=stream)
    for number in range(2):
        asyncio.run(report.add(a_folder(number, findings=2)))
    report.end_json(stream)

    told = json.loads(capsys.readouterr().out)
    assert [one["recording_id"] for one in told["findings"]] == ["R0-0", "R0-1", "R1-0", "R1-1"]
    assert (told["counts"]["stale"], told["folders"]) == (4, 2)


def test_json_without_a_finding_is_one_value_too(capsys: pytest.CaptureFixture[str]) -> None:
    Report().end_json(JsonStream())

    told = json.loads(capsys.readouterr().out)
    assert (told["findings"], told["folders"], told["ended_early"]) == ([], 0, None)


def test_several_lists_stand_in_one_value_each_to_its_end(capsys: pytest.CaptureFixture[str]) -> None:
    stream = JsonStream()
    stream.add("folders", ())
    stream.add("recordings", [{"id": "R1"}])
    stream.add("recordings", [{"id": "R2"}])
    stream.end({"more": None})

    told = json.loads(capsys.readouterr().out)
    assert told == {"folders": [], "recordings": [{"id": "R1"}, {"id": "R2"}], "more": None}


@pytest.mark.parametrize("form", ["JSON", "table"])
def test_however_much_is_found_little_of_it_is_in_memory(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def find(report: Report) -> None:
        for number in range(100):
            await report.add(a_folder(number, findings=100))

    with (tmp_path / "told").open("w") as told:
        monkeypatch.setattr(sys, "stdout", told)
        report = Report(stream=JsonStream() if form == "JSON" else None)
        tracemalloc.start()
        try:
            asyncio.run(find(report))
            _, most_bytes = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()

    assert report.found == 10_000
    assert len(report.shown) == (0 if form == "JSON" else SHOWN_MAX)
    assert most_bytes < 3_000_000
