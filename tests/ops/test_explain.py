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
    lists = (page(next_cursor="further"), none, none, page(*links), none)
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


DEAD = {
    "topic": "RecordingProcessed",
    "partition": 3,
    "offset": 7,
    "reason": "malformed_json",
    "error": "no JSON",
    "failed_at": "2025-01-29T10:30:00Z",
}


@pytest.mark.parametrize("number", [1, 60])
def test_a_recording_of_which_nothing_could_be_applied_is_explained(
    number: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    letters = page(*({**DEAD, "offset": 7 + one} for one in range(number)))
    with (
        answering(Reply(404), *[page()] * 5, letters) as linker,
        answering(letters) as transfer,
        answering(page()) as up,
    ):
        for setting, server in (("LINKER_URL", linker), ("TRANSFER_URL", transfer), ("CLOUD_UPDATER_URL", up)):
            monkeypatch.setenv(setting, server.url)
        monkeypatch.setenv("API_TOKEN", "x")
        monkeypatch.setenv("COLUMNS", "200")  # so that no line of the table is broken
        assert main(["explain", "rec 1"]) == 0
    told = capsys.readouterr()
    asked = [path.partition("?")[2] for _, path, _ in transfer.seen]

    assert "transfer could not apply this: malformed_json" in " ".join(told.out.split())
    assert "linker and transfer could not apply its RecordingProcessed: malformed_json" in told.out
    assert "Do: ticketsync dlq redrive --topic RecordingProcessed --at 3:7\n" in told.out
    assert ("all of them: ticketsync dlq list --key 'rec 1'" in told.err) == (number > 1)
    assert all("key=rec+1" in one or "key=rec%201" in one for one in asked)


def test_what_nobody_knows_is_not_called_unknown_while_a_service_is_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(Reply(404), page()) as linker, answering(Reply(500)) as away:
        for setting, server in (("LINKER_URL", linker), ("TRANSFER_URL", away), ("CLOUD_UPDATER_URL", linker)):
            monkeypatch.setenv(setting, server.url)
        monkeypatch.setenv("API_TOKEN", "x")
        assert main(["explain", "rec-1"]) == 69

    assert "transfer at" in capsys.readouterr().err


def test_dead_letters_are_listed_of_one_key(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "x")
    with answering(page()) as linker:
        monkeypatch.setenv("LINKER_URL", linker.url)
        assert main(["dlq", "list", "--service", "linker", "--key", "rec-1", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["items"] == []
    assert "key=rec-1" in linker.seen[0][1]
