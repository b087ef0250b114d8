"""The commands on a whole stack of real processes: what scripts get from them."""

import json
from pathlib import Path

import pytest

from tests.ops.commands import ticketsync
from tests.ops.on_a_stack import Stack, recording

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

STATES = {"not_transferred", "pending", "in_sync", "waiting_for_ticket", "no_ticket_needed"}
REASONS = {"retrying", "rejected", "outcome_unknown", "missing_in_cloud"}


def test_published_recordings_are_in_the_cloud_when_all_is_settled(stack: Stack) -> None:
    folder = stack.upload("a.wav", "b.wav", requires_ticket=False)

    status = stack("status", "--folder", folder, "--json").json

    assert set(status) == {
        "at", "recordings", "states", "oldest_pending_at", "per_minute", "blocked", "lanes", "parked", "parked_expired",
        "dead_letters", "stopped_topics", "unreachable",
    }  # fmt: skip
    assert set(status["states"]) == STATES
    assert status["states"]["no_ticket_needed"] == status["recordings"] == 2
    assert status["blocked"] == dict.fromkeys(REASONS, 0)


def test_a_folder_can_be_waited_for_as_soon_as_it_is_published(stack: Stack) -> None:
    line = json.dumps(recording("just-now", "a.wav", requires_ticket=False))
    stack("publish", "recording-processed", "-", stdin=line)

    settled = stack("status", "--wait", "settled", "--timeout", 60, "--folder", "just-now", "--json")

    assert settled.code == 0, settled.err
    assert settled.json["recordings"] == 1


def test_a_link_by_id_and_by_filename_reaches_the_cloud(stack: Stack) -> None:
    folder = stack.upload("a.wav", "b.wav")

    by_id = stack("link", f"{folder}/a.wav", "--ticket", "T-1", "--customer", "Anna Weiß", "--json")
    by_name = stack("link", "b.wav", "--folder", f"{folder} by name", "--ticket", "T-2", "--json")
    stack.settle()

    assert (by_id.code, by_id.json["outcome"], by_id.json["link_version"]) == (0, "matched", 1)
    assert (by_name.code, by_name.json["recording_id"]) == (0, f"{folder}/b.wav")
    assert stack("status", "--folder", folder, "--json").json["states"]["in_sync"] == 2
    about = stack.about(folder, "a.wav")
    assert about["state"] == "in_sync"
    assert about["ticket_info"]["customer_name"] == "Anna Weiß"
    assert about["blocked"] is None


def test_an_overwrite_names_the_ticket_that_was_there_and_an_unlink_removes_it(stack: Stack) -> None:
    folder = stack.upload("a.wav")
    stack("link", f"{folder}/a.wav", "--ticket", "T-1")

    again = stack("link", f"{folder}/a.wav", "--ticket", "T-2", "--json").json
    unlinked = stack("unlink", "a.wav", "--folder", folder, "--json").json
    stack.settle()

    assert (again["outcome"], again["replaced_ticket_id"]) == ("overwrite", "T-1")
    assert unlinked["outcome"] == "unlinked"
    assert stack.about(folder, "a.wav")["state"] == "waiting_for_ticket"


def test_a_link_to_nothing_waits_or_is_refused_or_is_taken_back(stack: Stack) -> None:
    parked = stack("link", "nowhere-1", "--ticket", "T-1", "--json")
    refused = stack("link", "nowhere-2", "--ticket", "T-1", "--no-park", "--json")
    withdrawn = stack("unlink", "nowhere-1", "--json")
    unknown = stack("unlink", "nowhere-3")
    by_import = stack.data_dir / "one-row.csv"
    by_import.write_text("filename,ticket_id\nnowhere-4.wav,T-4\n", encoding="utf-8")
    stack("import", by_import)
    by_filename = stack("unlink", "nowhere-4.wav", "--json")

    assert (parked.code, parked.json["outcome"]) == (0, "parked")
    assert "--folder" in parked.err
    assert (refused.code, refused.out) == (1, "")
    assert (withdrawn.code, withdrawn.json["outcome"]) == (0, "withdrawn")
    assert unknown.code == 1
    assert "no filename that is known or parked" in unknown.err
    assert (by_filename.code, by_filename.json["outcome"]) == (0, "withdrawn")


def test_a_field_that_breaks_a_rule_is_wrong_use_and_named(stack: Stack) -> None:
    refused = stack("link", "r-1", "--ticket", "T" * 101)

    assert refused.code == 2
    assert "ticket_id" in refused.err


def test_an_import_returns_when_every_row_is_decided(stack: Stack, tmp_path: Path) -> None:
    folder = stack.upload("a.wav", "b.wav")
    file = tmp_path / "tickets.csv"
    file.write_text(f"filename,folder,ticket_id\na.wav,{folder},T-1\nb.wav,{folder},T-2\nlater.wav,{folder},T-3\n")

    done = stack("import", file, "--json")
    stack.settle()

    assert done.code == 0, done.err
    assert done.json["counts"] == {"matched": 2, "parked": 1}
    assert [(row["line"], row["outcome"]) for row in done.json["rows"]] == [
        (2, "matched"),
        (3, "matched"),
        (4, "parked"),
    ]
    assert stack("status", "--folder", folder, "--json").json["states"]["in_sync"] == 2


def test_an_import_with_a_bad_row_imports_the_others_and_ends_with_1(stack: Stack, tmp_path: Path) -> None:
    folder = stack.upload("a.wav")
    file = tmp_path / "tickets.csv"
    file.write_text(f"filename,folder,ticket_id\na.wav,{folder},T-1\nb.wav,{folder},\n")

    for_people = stack("import", file)

    assert for_people.code == 1
    assert "invalid" in for_people.out
    assert "1 of 2 rows need a look" in for_people.err
    stack.settle()
    assert stack.about(folder, "a.wav")["ticket_info"]["ticket_id"] == "T-1"


def test_a_file_that_cannot_be_mapped_is_wrong_use(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "tickets.csv"
    file.write_text("colour,shape\nred,round\n")

    done = stack("import", file, "--json")

    assert (done.code, done.out) == (2, "")
    assert "tickets.csv" in done.err


def test_a_resync_says_what_it_covers_and_is_waited_for(stack: Stack) -> None:
    folder = stack.upload("a.wav", "b.wav")
    stack("link", f"{folder}/a.wav", "--ticket", "T-1")
    stack.settle()

    planned = stack("resync", "--folder", folder, "--force", "--dry-run", "--json").json
    refused = stack("resync", "--folder", folder, "--force", "--json")
    one_folder = stack("resync", "--folder", f"{folder} by name", "--force", "--rate", "600/m", "--yes", "--json").json
    one_recording = stack("resync", "--recording", f"{folder}/a.wav", "--yes", "--no-wait", "--json").json
    by_ticket = stack("resync", "--ticket", "T-1", "--folder", folder, "--state", "in_sync", "--dry-run", "--json").json
    by_time = stack("resync", "--since", "2099-01-01T00:00:00Z", "--yes", "--json").json
    shown = stack("resyncs", "show", one_folder["request_ids"][0], "--json").json
    listed = stack("resyncs", "list", "--json").json["items"]

    assert planned["plan"] | {"expected_s": 0, "wait_s": 0, "folders_before": 0} == {
        "to_send": 1,
        "blocked": 0,
        "in_sync": 0,
        "no_ticket": 1,
        "not_transferred": 0,
        "requests": 1,
        "expected_s": 0,
        "wait_s": 0,
        "folders_before": 0,
        "not_known_as": None,
    }
    assert (planned["request_ids"], planned["dry_run"]) == ([], True)
    assert (refused.code, refused.out) == (2, "")
    assert "--yes" in refused.err
    assert (one_folder["selection"], one_folder["pushed"]) == ([{"folder_id": folder}], 1)
    assert (shown["state"], shown["owed"], shown["rate_per_minute"]) == ("carried_out", 0, 600)
    assert (one_recording["selection"], one_recording["plan"]["in_sync"]) == ([{"recording_ids": 1}], 1)
    assert by_ticket["plan"]["in_sync"] == 1
    assert (by_time["request_ids"], by_time["plan"]["to_send"]) == ([], 0)
    assert [one["request_id"] for one in listed[:1]] != []
    assert stack("resyncs", "cancel", one_folder["request_ids"][0]).code == 1
    assert stack("resyncs", "pause", "no-such-resync").code == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["resync", "--folder", "no such folder"],
        ["resync", "--recording", "no such recording"],
        ["status", "--folder", "no such folder"],
        ["status", "no such recording"],
        ["status", "no such file", "--folder", "no such folder"],
    ],
    ids=" ".join,
)
def test_a_name_that_nobody_knows_is_a_finding(stack: Stack, arguments: list[str]) -> None:
    ended = stack(*arguments, "--json")

    assert (ended.code, ended.out) == (1, "")
    assert "no such" in ended.err


def test_the_topics_are_as_declared_and_the_doctor_finds_nothing(stack: Stack) -> None:
    assert stack("topics", "check", "--json").json == {"findings": []}
    assert stack("topics", "apply", "--json").json == {"done": [], "findings": []}
    assert stack("migrate", "--json").json == {"up_to_date": ["linker", "transfer", "cloud-updater"]}

    examined = stack("doctor", "--json")
    assert examined.json["ok"], examined.json
    assert examined.code == 0


def test_the_addresses_may_come_from_the_environment(stack: Stack) -> None:
    settings = {name.upper(): value for name, value in stack.addresses.items() if name != "cloud_url"}

    status = ticketsync("status", "--json", settings=settings)
    in_folder = ticketsync("status", "--json", settings={"TICKETSYNC_DATA_DIR": str(stack.data_dir)})
    wrong_token = ticketsync("status", settings={**settings, "API_TOKEN": "another"})

    assert status.code == in_folder.code == 0
    assert wrong_token.code == 78
    assert "API_TOKEN" in wrong_token.err


def test_what_people_read_fits_into_100_columns_without_colours(stack: Stack) -> None:
    stack.upload(f"{'long-name-' * 20}.wav")

    for command in (["status"], ["doctor"], ["resync", "--all", "--dry-run"], ["resyncs", "list"]):
        shown = stack(*command)
        assert max(map(len, shown.out.splitlines())) <= 100
        assert "\x1b" not in shown.out + shown.err


def test_the_apis_token_is_changed_while_the_stack_runs(stack: Stack) -> None:
    old = {name.upper(): value for name, value in stack.addresses.items() if name != "cloud_url"}
    tokens = stack.data_dir / "tokens"

    (tokens / "api_token").write_text("newer\n")
    both = [stack("status"), ticketsync("status", settings=old)]
    (tokens / "api_token_previous").write_text("newer\n")
    then = [stack("status"), ticketsync("status", settings=old)]

    assert [one.code for one in (*both, *then)] == [0, 0, 0, 78]


def test_waiting_ends_at_its_time_limit_with_a_finding(stack: Stack) -> None:
    folder = stack.upload("a.wav")
    stack.cloud("hold", {"route": "update_ticket"})
    stack("link", f"{folder}/a.wav", "--ticket", "T-1")

    too_short = stack("status", "--wait", "settled", "--timeout", 2, "--folder", folder, "--json")
    stack.cloud("release", {"route": "update_ticket"})

    assert too_short.code == 1
    assert too_short.json["states"]["pending"] == 1
    assert "not settled within 2 s" in too_short.err
    stack.settle()


def test_waiting_ends_early_when_all_that_is_left_needs_a_person(stack: Stack) -> None:
    # The last test of the file: this recording stays rejected.
    folder = stack.upload("a.wav", "b.wav")
    stack.cloud("faults", {"route": "update_ticket", "status": 422, "filename": "b.wav", "times": None})
    stack("link", f"{folder}/a.wav", "--ticket", "T-1")
    stack("link", f"{folder}/b.wav", "--ticket", "T-2")

    stuck = stack("status", "--wait", "settled", "--timeout", 60, "--json")

    assert stuck.code == 1
    assert "needs a person" in stuck.err
    assert stuck.json["blocked"]["rejected"] == 1
    assert stack.about(folder, "a.wav")["state"] == "in_sync"
    about = stack.about(folder, "b.wav")
    assert about["state"] == "pending"
    assert about["blocked"]["reason"] == "rejected"
    assert stack("doctor").code == 1
    shown = stack("status", "--folder", folder)
    assert "b.wav" in shown.out or about["recording_id"] in shown.out
    assert about["blocked"]["message"].split()[0] in shown.out
