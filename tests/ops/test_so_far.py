"""A service that dies in the middle of many steps: what was done until then is shown, with how to go on, and 69."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ops.main import main
from ops.so_far import AGAIN
from tests.ops.answering import Reply, Server, answering

AWAY = Reply(500)
Run = Callable[..., tuple[int, str, str]]


def says(**fields: object) -> Reply:
    return Reply(body=json.dumps(fields).encode())


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command on servers, by their service."""

    def run(*words: object, **servers: Server) -> tuple[int, str, str]:
        for service, server in servers.items():
            monkeypatch.setenv(f"{service.upper()}_URL", server.url)
        monkeypatch.setenv("API_TOKEN", "x")
        code = main([str(word) for word in words])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def ends(code: int, err: str) -> bool:
    return (code, "answered HTTP 500" in err, "What was done until then is shown." in err, AGAIN in err) == (
        69,
        True,
        True,
        True,
    )


FOLDERS = [
    {
        "folder_id": f"F{number}",
        "clouds_uuid": None,
        "held": "outcome_unknown",
        "last_error": "no answer",
        "open_request": {"request_id": f"q-{number}", "kind": "create", "files": 1},
    }
    for number in (1, 2)
]


@pytest.mark.parametrize("command", ["retry", "give-up"])
def test_folders_that_were_decided_before_transfer_went_away_are_shown(run: Run, command: str) -> None:
    lane = {"open": True}
    updater_says = says(items=[], blocked={}, dead_letters=0, owed=0, lane=lane)
    words = ("transfer", command, "--all", "--yes")
    held = (says(items=FOLDERS), says(items=[]))
    with answering(updater_says) as updater:
        with answering(*held, says(), AWAY) as transfer:
            shown = run(*words, transfer=transfer, cloud_updater=updater)
        with answering(*held, says(), AWAY) as transfer:
            code, out, err = run(*words, "--json", transfer=transfer, cloud_updater=updater)

    assert ends(shown[0], shown[2])
    assert shown[1].split()[-2:] == ["done", "1"]
    assert [json.loads(one)["request_id"] for one in transfer.bodies[2:]] == ["q-1", "q-2"]
    assert ends(code, err)
    told = json.loads(out)
    assert [(one["outcome"], one["folder_id"]) for one in told["items"]] == [("done", "F1")]
    assert "answered HTTP 500" in told["ended_early"]


@pytest.mark.parametrize("command", ["redrive", "discard"])
def test_dead_letters_that_were_settled_before_their_service_went_away_are_shown(run: Run, command: str) -> None:
    at = {"topic": "TicketLinked", "partition": 0}
    whole = {"reason": "unstorable", "error": "no", "size_bytes": 1, "failed_at": "2025-01-29T10:30:00Z"}
    letters = [
        {**at, **whole, "offset": offset, "settled_at": None, "settled_as": None, "settled_by": None}
        for offset in range(101)
    ]
    done = [{**at, "offset": offset, "outcome": "discarded"} for offset in range(100)]
    words = ("dlq", command, "--service", "linker", "--yes")
    with answering(says(items=letters), says(items=done), AWAY) as linker:
        shown = run(*words, linker=linker)
    with answering(says(items=letters), says(items=done), AWAY) as linker:
        code, out, err = run(*words, "--json", linker=linker)

    assert ends(shown[0], shown[2])
    assert shown[1].count("discarded") == 100
    assert ends(code, err)
    assert len(json.loads(out)["items"]) == 100


def test_links_that_were_dropped_before_linker_went_away_are_counted(run: Run) -> None:
    waits = {"request_id": "q", "recording_id": "R", "folder": None, "filename": None, "ticket_id": "T", "age_s": 5}
    links = [{**waits, "parked_id": f"p-{number}", "state": "waiting"} for number in range(1_001)]
    words = ("parked", "drop", "--older-than", "0", "--yes")
    with answering(says(items=links), says(dropped=999, gone=1), AWAY) as linker:
        shown = run(*words, linker=linker)
    with answering(says(items=links), says(dropped=999, gone=1), AWAY) as linker:
        code, out, err = run(*words, "--json", linker=linker)

    assert ends(shown[0], shown[2])
    assert "dropped 999" in " ".join(shown[1].split())
    assert ends(code, err)
    told = json.loads(out)
    assert (told["dropped"], told["gone"], "answered HTTP 500" in told["ended_early"]) == (999, 1, True)


def test_of_very_many_dead_letters_a_table_has_the_first_and_json_every_one(run: Run) -> None:
    at = {"topic": "TicketLinked", "partition": 0}
    whole = {"reason": "unstorable", "error": "no", "size_bytes": 1, "failed_at": "2025-01-29T10:30:00Z"}
    ended = {"settled_at": None, "settled_as": None, "settled_by": None}
    letters = says(items=[{**at, **whole, **ended, "offset": offset} for offset in range(1_100)])
    done = says(items=[{**at, "offset": offset, "outcome": "discarded"} for offset in range(100)])
    words = ("dlq", "discard", "--service", "linker", "--yes")
    with answering(letters, done) as linker:
        code, shown, err = run(*words, linker=linker)
    with answering(letters, done) as linker:
        _, out, _ = run(*words, "--json", linker=linker)

    assert (code, shown.count(" discarded ")) == (0, 1_000)
    assert "the first 1,000; of all: discarded: 1,100" in err
    assert len(json.loads(out)["items"]) == 1_100


def test_dead_letters_of_one_service_are_settled_without_the_others(run: Run) -> None:
    letter = {"topic": "TicketLinked", "partition": 0, "offset": 7}
    whole = {"reason": "unstorable", "error": "no", "size_bytes": 1, "failed_at": "2025-01-29T10:30:00Z"}
    ended = {"settled_at": None, "settled_as": None, "settled_by": None}
    done = [{**letter, "outcome": "discarded"}]
    with answering(says(items=[{**letter, **whole, **ended}]), says(items=done)) as linker:
        code, out, err = run("dlq", "discard", "--service", "linker", "--yes", "--json", linker=linker)

    assert (code, json.loads(out)["items"]) == (0, [{"service": "linker", **done[0], "reason": None, "error": None}]), (
        err
    )


@pytest.mark.parametrize("away", ["transfer", "linker"])
def test_lines_that_were_adopted_before_a_service_went_away_are_shown(run: Run, away: str, tmp_path: Path) -> None:
    names = [f"R{number}" for number in range(501)]
    whole = {"folder_id": "F", "clouds_uuid": "U", "size": "1 B", "token": 1, "transcript": "hello"}
    ticket = {"ticket_id": "T"}
    lines = [{**whole, "recording_id": one, "filename": f"{one}.wav", "ticket_info": ticket} for one in names]
    file = tmp_path / "old.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in lines))
    lots: list[dict[str, Any]] = [
        {"items": [{"recording_id": one, "outcome": "adopted", "filename": f"{one}.wav"} for one in lot]}
        for lot in (names[:500], names[500:])
    ]
    second = AWAY if away == "transfer" else says(**lots[1])
    words = ("adopt", file, "--yes")
    with answering(AWAY) as linker:
        with answering(says(**lots[0]), second) as transfer:
            shown = run(*words, transfer=transfer, linker=linker)
        with answering(says(**lots[0]), second) as transfer:
            code, out, err = run(*words, "--json", transfer=transfer, linker=linker)

    adopted = 500 if away == "transfer" else 501
    assert ends(shown[0], shown[2])
    assert f"adopted {adopted}" in " ".join(shown[1].split())
    assert ends(code, err)
    told = json.loads(out)
    assert (told["adopted"], told["tickets"]) == (adopted, {})
    assert told["ended_early"].startswith(f"{away} at ")


def test_what_was_found_in_the_cloud_before_cloud_updater_went_away_is_shown(run: Run) -> None:
    folders = [{"clouds_uuid": f"U{number}", "folder_id": f"F{number}", "recordings": 1} for number in range(9)]
    compared = {"recording_id": "R", "filename": "a.wav", "verdict": "stale", "link_version": 1}
    shown_there = {"shown_link_version": None, "shown_ticket_id": None}
    seen = says(folder_id="F0", observed=True, counts={"stale": 1}, items=[{**compared, **shown_there}])
    with answering(says(items=folders), seen, AWAY) as updater:
        shown = run("verify", "--all", linker=updater, transfer=updater, cloud_updater=updater)
    with answering(says(items=folders), seen, AWAY) as updater:
        code, out, err = run("verify", "--all", "--json", linker=updater, transfer=updater, cloud_updater=updater)

    for ended in (shown[0], shown[2]), (code, err):
        assert (ended[0], "answered HTTP 500" in ended[1]) == (69, True)
        assert "looks at all of it anew" in ended[1]
    assert "R F0 stale" in " ".join(shown[1].split())
    told = json.loads(out)
    assert (told["folders"], told["counts"]["stale"], len(told["findings"])) == (1, 1, 1)
    assert "answered HTTP 500" in told["ended_early"]


def test_a_folder_that_the_cloud_does_not_show_does_not_end_the_look_at_the_others(run: Run) -> None:
    folders = [{"clouds_uuid": f"U{number}", "folder_id": f"F{number}", "recordings": 1} for number in range(9)]
    compared = {"recording_id": "R", "filename": "a.wav", "verdict": "stale", "link_version": 1}
    shown_there = {"shown_link_version": None, "shown_ticket_id": None}
    seen = says(folder_id="F0", observed=True, counts={"stale": 1}, items=[{**compared, **shown_there}])
    hidden = Reply(502, b'{"title": "Not read", "detail": "the cloud does not show the folder: HTTP 500"}')
    with answering(says(items=folders), hidden, seen) as updater:
        shown = run("verify", "--all", linker=updater, transfer=updater, cloud_updater=updater)
    with answering(says(items=folders), hidden, seen) as updater:
        code, out, err = run("verify", "--all", "--json", linker=updater, transfer=updater, cloud_updater=updater)

    assert (shown[0], code) == (69, 69)
    assert "does not show the folder: HTTP 500" in " ".join(shown[1].split())
    assert "folders that could not be read: 1; the others were compared" in err
    told = json.loads(out)
    assert (told["folders"], told["counts"]["stale"], len(told["unread"]), told["ended_early"]) == (8, 8, 1, None)


def test_a_file_that_was_read_to_its_end_did_not_end_early(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "empty.jsonl"
    file.write_text("\n")
    with answering(AWAY) as nobody:
        code, out, _ = run("adopt", file, "--yes", "--json", transfer=nobody, linker=nobody)

    assert (code, json.loads(out)["ended_early"]) == (0, None)
