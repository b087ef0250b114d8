"""What is told of a name that fits many recordings, or none."""

import json

import pytest

from ops.main import main
from tests.ops.answering import Reply, answering


def explained(
    name: str, fitting: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    """Stdout and stderr, where `fitting` recordings at least have that name or ticket."""
    items = [
        {"recording_id": f"r-{n}", "folder_id": "F1", "filename": "a.wav", "state": "in_sync"} for n in range(fitting)
    ]
    with answering(Reply(404), Reply(body=json.dumps({"items": items}).encode())) as services:
        for setting in ("LINKER_URL", "TRANSFER_URL", "CLOUD_UPDATER_URL"):
            monkeypatch.setenv(setting, services.url)
        monkeypatch.setenv("API_TOKEN", "x")
        assert main(["explain", name, "--json"]) == 1
    told = capsys.readouterr()
    return told.out, told.err


def test_of_more_than_are_shown_it_is_said_how_all_are_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = explained("all of them", 51, capsys, monkeypatch)

    assert (len(json.loads(out)["candidates"]), json.loads(out)["more"]) == (50, True)
    assert "more than 50 recordings fit all of them" in err
    assert "ticketsync recordings --filename 'all of them'" in err


def test_where_all_that_fit_are_shown_it_is_said_how_many(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = explained("a.wav", 50, capsys, monkeypatch)

    assert json.loads(out)["more"] is False
    assert "50 recordings fit a.wav" in err


def test_what_nobody_knows_may_not_be_read_yet_or_could_not_be_applied(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, err = explained("nobody", 0, capsys, monkeypatch)

    assert "ticketsync lag; or could it not be applied? ticketsync dlq list" in err
