"""A file of recordings is published as a whole or not at all; here: not at all."""

import io
import json
from pathlib import Path

import pytest

from ops.main import main
from schemas.topics import RECORDING_PROCESSED

GOOD = {
    "recording_id": "r-1",
    "folder_id": "f-1",
    "folder_name": "Monday",
    "filename": "a.wav",
    "size_bytes": 1,
    "token": 2,
    "transcript": "hello",
    "processed_at": "2025-01-29T10:30:00Z",
}


def publish(file: Path, *options: str) -> int:
    return main(["publish", "recording-processed", str(file), *options])


def test_every_bad_line_is_told_with_its_number_and_field(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recordings.jsonl"
    bad_token = json.dumps({**GOOD, "token": "many"})
    no_transcript = json.dumps({key: value for key, value in GOOD.items() if key != "transcript"})
    file.write_text("\n".join([json.dumps(GOOD), bad_token, "", "{", no_transcript]) + "\n")

    code = publish(file, "--json")

    captured = capsys.readouterr()
    told = json.loads(captured.out)
    assert code == 2
    assert told["published"] == 0
    assert [(one["line"], one["field"]) for one in told["bad_lines"]] == [(2, "token"), (4, ""), (5, "transcript")]
    assert "line 2: token" in captured.err
    assert "Nothing was published" in captured.err


def test_a_line_that_kafka_would_refuse_for_its_size_is_a_bad_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "recordings.jsonl"
    file.write_text(json.dumps({**GOOD, "transcript": "x" * RECORDING_PROCESSED.max_message_bytes}))

    assert publish(file) == 2
    assert "line 1" in capsys.readouterr().err


def test_lines_that_are_no_text_at_all_are_bad_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recordings.jsonl"
    file.write_bytes(b"\xff\xfe\x00\n")

    assert publish(file) == 2
    assert "line 1" in capsys.readouterr().err


def test_a_bad_line_on_standard_input_is_told_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"nonsense\n")))

    assert main(["publish", "recording-processed", "-"]) == 2
    assert "line 1" in capsys.readouterr().err


def test_a_file_that_is_not_there_is_wrong_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish(tmp_path / "missing.jsonl") == 2
    assert "missing.jsonl cannot be read" in capsys.readouterr().err


def test_a_good_file_needs_kafkas_address(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "recordings.jsonl"
    file.write_text(json.dumps(GOOD))

    assert publish(file) == 78
    assert "KAFKA_BOOTSTRAP_SERVERS is not set" in capsys.readouterr().err
