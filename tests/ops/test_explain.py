"""What is told of a name that fits many recordings, or none."""

import json

import pytest

from ops.lookup import one_recording
from ops.main import main
from ops.service_api import ServiceApi
from tests.ops.answering import Reply, answering


def page(*items: object, next_cursor: str | None = None) -> Reply:
    return Reply(body=json.dumps({"items": items, "next_cursor": next_cursor}).encode())


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


PARKED = {
    "parked_id": "p-1",
    "parked_at": "2025-01-29T10:00:00Z",
    "ticket_id": "T-1",
    "recording_id": None,
    "filename": "a.wav",
    "folder": None,
    "state": "waiting",
}


@pytest.mark.parametrize(("waiting", "more"), [(1, False), (51, True)])
def test_a_link_that_waits_behind_many_others_is_found(
    waiting: int, more: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    none = page()
    links = [{**PARKED, "parked_id": f"p-{n}"} for n in range(waiting)]
    # It is looked for by each kind of name; of one of them, whichever, the first page is empty and not the last.
    lists = (page(next_cursor="further"), none, none, page(*links))
    with answering(Reply(404), none, none, *lists) as linker:
        for setting in ("LINKER_URL", "TRANSFER_URL", "CLOUD_UPDATER_URL"):
            monkeypatch.setenv(setting, linker.url)
        monkeypatch.setenv("API_TOKEN", "x")
        assert main(["explain", "a.wav", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)

    assert (len(told["events"]), told["more"]) == (min(waiting, 50), more)
    assert told["why"].startswith("No recording of this name has arrived")


async def test_a_recording_is_found_behind_a_page_without_one() -> None:
    folder = {"folder_id": "F1", "folder_name": None, "recordings": 9, "transferred": 9}
    one = {"recording_id": "r-1", "folder_id": "F1", "folder_name": None, "filename": "a.wav", "state": "in_sync"}
    with answering(page(folder), page(next_cursor="further"), page(one)) as server:
        async with ServiceApi("linker", server.url, "x") as linker:
            assert (await one_recording(linker, "a.wav", "F1")).recording_id == "r-1"


def test_what_nobody_knows_may_not_be_read_yet_or_could_not_be_applied(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, err = explained("nobody", 0, capsys, monkeypatch)

    assert "ticketsync lag; or could it not be applied? ticketsync dlq list" in err
