"""The commands that look, on a whole stack of real processes."""

import csv
import io
import json
import signal
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.ops.commands import TICKETSYNC
from tests.ops.on_a_stack import Stack, recording

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def folder(stack: Stack) -> str:
    """Two recordings: a.wav linked to T-a and in sync, b.wav without its ticket."""
    folder = stack.upload("a.wav", "b.wav")
    assert stack("link", f"{folder}/a.wav", "--ticket", "T-a", "--customer", "=1+1", "--by", "ann").code == 0
    stack.settle()
    return folder


def test_status_says_how_fast_it_goes_and_whether_the_cloud_is_open(stack: Stack, folder: str) -> None:
    status = stack("status", "--folder", folder, "--json").json

    assert status["oldest_pending_at"] is None
    assert status["per_minute"]["acknowledged"] >= 1
    assert status["lanes"]["transfer"]["open"] is True
    shown = stack("status")
    assert "acknowledged, last minute" in shown.out
    assert "way to the cloud, cloud-updater" in shown.out


@pytest.mark.parametrize("command", ["status", "lag"])
def test_watching_without_a_terminal_writes_lines_until_it_is_interrupted(stack: Stack, command: str) -> None:
    for json_lines in (True, False):
        words = [str(TICKETSYNC), command, "--watch", "--every", "0.1", "--data-dir", str(stack.data_dir)]
        with subprocess.Popen(
            [*words, *(["--json"] if json_lines else [])], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        ) as watching:
            assert watching.stdout
            lines = [watching.stdout.readline() for _ in range(2)]
            watching.send_signal(signal.SIGINT)
            assert watching.wait(20) == 130
        if json_lines:
            assert all(isinstance(json.loads(line), dict) for line in lines)
        else:
            assert all(line.strip() and "\x1b" not in line for line in lines)


def test_recordings_are_listed_by_condition_and_exported(stack: Stack, folder: str, tmp_path: Path) -> None:
    listed = stack("recordings", "--folder", folder, "--state", "in_sync", "--json").json["items"]
    lines = stack("recordings", "--folder", folder, "--format", "jsonl").out.splitlines()
    file = tmp_path / "found.csv"
    exported = stack("recordings", "--ticket", "T-a", "--format", "csv", "--output", file)
    [row] = csv.DictReader(io.StringIO(file.read_text(encoding="utf-8")))

    assert [one["recording_id"] for one in listed] == [f"{folder}/a.wav"]
    assert [json.loads(line)["filename"] for line in lines] == ["a.wav", "b.wav"]
    assert exported.code == 0
    assert (row["ticket_id"], row["customer_name"]) == ("T-a", "'=1+1")
    assert list(tmp_path.iterdir()) == [file]
    assert stack("recordings", "--since", "2025-01-30T00:00:00Z", "--folder", folder, "--json").json["items"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["recordings", "--json", "--format", "csv"],
        ["recordings", "--output", "x.csv"],
        ["recordings", "--blocked", "any", "--state", "pending"],
        ["recordings", "--since", "yesterday"],
        ["recordings", "--format", "csv", "--output", "/no/such/folder/x.csv"],
        ["verify"],
        ["verify", "--folder", "F", "--sample", "3"],
        ["resync", "--since", "2025-01-30T00:00:00Z", "--until", "2025-01-29T00:00:00+00:00", "--dry-run"],
        ["explain", ""],
        ["audit", "--what", "import_acepted"],
        ["dlq", "list", "--topic", "TicketLinkd"],
        ["dlq", "list", "--service", "transfer", "--topic", "TicketLinkRequested"],
        ["dlq", "list", "--reason", "rotten"],
        ["dlq", "show", "linker", "TicketLinkd", "0:0"],
        ["status", "--watch", "--wait", "settled"],
        ["status", "--timeout", "5"],
    ],
    ids=" ".join,
)
def test_what_makes_no_sense_is_wrong_use(stack: Stack, arguments: list[str]) -> None:
    ended = stack(*arguments)

    assert (ended.code, ended.out) == (2, "")
    assert ended.err.strip()


@pytest.mark.parametrize(
    ("words", "next_step"),
    [
        ("imports show nothing", "ticketsync imports list"),
        ("imports show ..", "ticketsync imports list"),
        ("resyncs show nothing", "ticketsync resyncs list"),
        ("resyncs pause nothing", "ticketsync resyncs list"),
        ("dlq show linker TicketLinked 9:9", "ticketsync dlq list --service linker"),
        ("status nothing", "--folder F"),
    ],
)
def test_a_name_that_nobody_knows_is_a_finding_with_the_next_step(stack: Stack, words: str, next_step: str) -> None:
    ended = stack(*words.split())

    assert (ended.code, ended.out) == (1, "")
    assert next_step in ended.err


def test_a_recording_of_another_folder_is_not_called_unknown(stack: Stack, folder: str) -> None:
    other = stack.upload("c.wav")

    ended = stack("explain", f"{folder}/a.wav", "--folder", other)

    assert ended.code == 1
    assert f"is known in folder {other}" in ended.err
    assert f"ticketsync explain -- {folder}/a.wav" in ended.err


def test_lag_is_nothing_when_all_is_read(stack: Stack) -> None:
    lag = stack("lag", "--over", "0.1", "--json").json
    by_partition = stack("lag", "--over", "0.1", "--partitions", "--json").json

    assert lag["behind"] == 0
    assert {(one["service"], one["topic"]) for one in lag["items"]} >= {
        ("linker", "RecordingProcessed"),
        ("transfer", "TicketLinked"),
        ("cloud-updater", "RecordingTransferred"),
    }
    assert len(by_partition["items"]) == 12 * len(lag["items"])


def test_explain_tells_the_story_by_id_ticket_or_filename(stack: Stack, folder: str) -> None:
    by_id = stack("explain", f"{folder}/a.wav", "--json")
    by_ticket = stack("explain", "T-a", "--json")
    by_name = stack("explain", "b.wav", "--folder", folder, "--json")
    shown = stack("explain", f"{folder}/a.wav")

    assert by_id.code == by_ticket.code == by_name.code == 0
    assert by_id.json["recording"] == by_ticket.json["recording"]
    kinds = [one["what"].split()[0] for one in by_id.json["events"]]
    assert kinds == ["processed,", "transferred", "link", "the"]
    topics = [one["place"]["topic"] for one in by_id.json["events"]]
    assert topics == ["RecordingProcessed", "RecordingTransferred", "TicketLinked", "CloudTicketUpdated"]
    assert by_id.json["why"].startswith("In sync")
    assert by_id.json["mend"] is None
    assert by_name.json["mend"] == f"ticketsync link --ticket TICKET {folder}/b.wav"
    assert max(map(len, shown.out.splitlines())) <= 100
    assert "TicketLinked" in shown.out


@pytest.mark.parametrize("recording_id", ["..", ".", "a/../b?c#d %2F", "two\nlines\n", "-opt"])
def test_explain_finds_a_recording_whatever_its_id_holds(stack: Stack, recording_id: str) -> None:
    stack.publish({**recording("odd ids", f"of {recording_id}", requires_ticket=False), "recording_id": recording_id})
    stack.settle()

    explained = stack("explain", "--json", "--", recording_id)
    status = stack("status", "--json", "--", recording_id)
    verified = stack("verify", "--recording", recording_id, "--json")

    assert (explained.code, explained.json["recording"]["recording_id"]) == (0, recording_id)
    assert (status.code, status.json["recording_id"]) == (0, recording_id)
    assert (verified.code, verified.json["counts"]["in_sync"]) == (0, 1)


def test_explain_lists_several_that_fit_and_knows_a_link_that_waits(stack: Stack, folder: str) -> None:
    other = stack.upload("a.wav")
    stack("link", "comes-later", "--ticket", "T-later")

    several = stack("explain", "a.wav", "--json")
    waits = stack("explain", "T-later", "--json")
    nothing = stack("explain", "no such thing", "--json")

    assert several.code == 1
    assert {one["folder_id"] for one in several.json["candidates"]} >= {folder, other}
    assert (waits.code, waits.json["recording"]) == (0, None)
    assert "waits for its recording" in waits.json["events"][0]["what"]
    assert (nothing.code, nothing.out) == (1, "")


def test_verify_finds_nothing_where_all_is_in_order(stack: Stack, folder: str) -> None:
    everything = stack("verify", "--all", "--json")
    one = stack("verify", "--recording", f"{folder}/b.wav", "--json")
    sample = stack("verify", "--all", "--sample", "1", "--json")

    assert everything.code == one.code == sample.code == 0, everything.out
    assert everything.json["observed"] is True
    assert everything.json["findings"] == []
    assert one.json["counts"]["in_sync"] == 1
    assert sample.json["folders"] == 1


def test_verify_of_a_folder_that_is_not_in_the_cloud_says_so(stack: Stack) -> None:
    assert stack("pause", "transfer", "--why", "nobody uploads now").code == 0
    stack.publish(recording("not there", "never.wav", requires_ticket=False))

    waits = stack("verify", "--folder", "not there", "--json")
    stack("resume", "transfer")
    stack.settle()
    unknown = stack("verify", "--folder", "never heard of", "--json")

    assert (waits.code, waits.out) == (1, "")
    assert "no recording of folder not there is in the cloud yet" in waits.err
    assert "ticketsync status --folder 'not there'" in waits.err
    assert (unknown.code, unknown.out) == (1, "")
    assert "ticketsync lag" in unknown.err


def forget_the_ticket(stack: Stack, folder: str, name: str) -> None:
    """Somebody else removes it in the cloud."""
    uuid = quote(stack.about(folder, name)["clouds_uuid"], safe="")
    file = {"filename": name, "size": "1 B", "token": 1, "transcribe": "hello", "ticket_info": None}
    httpx.post(
        f"{stack.addresses['cloud_url']}/api/external/v1/recording/update-ticket/{uuid}",
        json={"files": [file]},
        headers={"Authorization": f"Bearer {stack.cloud_token}", "Accept": "application/json"},
        trust_env=False,
    ).raise_for_status()


def test_verify_repairs_exactly_what_the_cloud_lost(stack: Stack) -> None:
    folder = stack.upload("a.wav", "b.wav")
    for name in ("a.wav", "b.wav"):
        stack("link", f"{folder}/{name}", "--ticket", f"T-{name}")
    stack.settle()
    forget_the_ticket(stack, folder, "a.wav")

    found = stack("verify", "--folder", folder, "--json")
    repaired = stack("verify", "--folder", folder, "--repair", "--json")
    stack.settle()
    again = stack("verify", "--folder", folder, "--json")

    assert found.code == 1
    [finding] = found.json["findings"]
    assert (finding["recording_id"], finding["verdict"]) == (f"{folder}/a.wav", "ticket_mismatch")
    assert (repaired.code, repaired.json["pushed_again"]) == (1, 1)
    assert again.code == 0, again.out


def test_the_doctor_looks_at_every_part_with_versions_sizes_and_clocks(stack: Stack) -> None:
    examined = stack("doctor", "--json")

    names = {check["name"] for check in examined.json["checks"]}
    assert {
        "kafka",
        "kafka disk",
        "versions",
        "disk",
        "linker database",
        "transfer token",
        "cloud-updater clock",
    } <= names
    assert examined.code == 0, examined.json


ALL = {"linker", "transfer", "cloud-updater"}


@pytest.mark.parametrize("silent", sorted(ALL))
def test_while_a_service_is_away_the_others_are_shown_and_nothing_is_made_up(
    stack: Stack, folder: str, silent: str, tmp_path: Path
) -> None:
    looks = (
        "status",
        "lag",
        "audit",
        f"explain {folder}/a.wav",
        "dlq list",
        f"status --folder {folder}",
        f"recordings --blocked any --folder {folder}",
    )
    file = tmp_path / "blocked.csv"
    with stack.without(silent):
        as_json = {words: stack(*words.split(), "--json") for words in looks}
        status, lag, audit, explained, letters, *_ = as_json.values()
        held = stack("transfer", "list", "--json")
        exported = stack("recordings", "--blocked", "any", "--folder", folder, "--format", "csv", "--output", file)
        shown = [stack(*words.split()) for words in as_json]
        about = stack("status", f"{folder}/a.wav", "--json")
        waited = stack("status", "--wait", "settled", "--timeout", 0.5, "--json")

    for ended in (*as_json.values(), about, waited):
        assert (ended.code, list(ended.json["unreachable"])) == (69, [silent]), (ended.out, ended.err)
        assert "ticketsync doctor" in ended.err
    assert all((one.code, f"{silent} at http" in one.err) == (69, True) for one in shown)
    assert all("?" in one.out for one in shown[:2])
    _knows_what_the_others_say(status.json, silent)
    assert letters.json["items"] == []
    assert "Those that answer have nothing to list." in shown[4].err
    assert (exported.code, file.exists()) == (69, False)
    assert held.code == (0 if silent == "linker" else 69)
    assert silent != "cloud-updater" or list(held.json["unreachable"]) == [silent]
    assert status.json["dead_letters"] is None
    assert waited.json["settled"] is False
    assert lag.json["behind"] is None
    assert {one["service"] for one in lag.json["items"]} == ALL - {silent}
    audited = {one["service"] for one in audit.json["items"]}
    assert {"linker"} - {silent} <= audited <= ALL - {silent}
    told = " ".join(one["what"] for one in explained.json["events"])
    if silent == "linker":
        assert "cloud-updater has read link 1; the cloud has acknowledged link 1" in told
        assert (explained.json["recording"], about.json["state"]) == (None, None)
        assert "linker knows" in explained.json["why"]
    else:
        assert "linked to T-a" in told
        assert explained.json["why"].startswith("In sync")
        assert about.json["state"] == "in_sync"
    assert (about.json["cloud_updater"] is None, about.json["transfer"] is None) == (
        silent == "cloud-updater",
        silent == "transfer",
    )
    assert stack("status", "--json").json["unreachable"] == {}


def _knows_what_the_others_say(status: dict[str, Any], silent: str) -> None:
    known = {
        "recordings": status["recordings"] is not None,
        "states": None not in status["states"].values(),
        "parked": status["parked"] is not None,
        "rates": status["per_minute"] is not None,
        "blocked": None not in status["blocked"].values(),
        **{service: lane is not None for service, lane in status["lanes"].items()},
    }
    assert {name for name, is_known in known.items() if not is_known} == {
        "linker": {"recordings", "states", "parked", "rates"},
        "transfer": {"blocked", "transfer"},
        "cloud-updater": {"blocked", "cloud-updater"},
    }[silent]
