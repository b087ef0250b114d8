"""How commands explain themselves, refuse, and end."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from typer.core import TyperGroup

from ops.commands import COMMANDS as COMMANDS_LISTED
from ops.commands import PANELS, load
from ops.main import main
from ops.run import overlay
from tests.ops.answering import Reply, answering
from tests.ops.commands import ticketsync

# What takes longer to load than these commands take to run.
ASK_THE_SERVICES = ("status", "explain", "link", "recordings", "lag", "dlq", "parked", "transfer", "pause", "audit")
HEAVY = {
    *("aiokafka", "alembic", "asyncpg", "cloudevents", "fastapi", "faststream", "pydantic_settings", "python_calamine"),
    # What only moves, colours or parses for others.
    *("click", "pygments", "rich.live", "rich.progress"),
    *("sqlalchemy", "sqlmodel", "starlette", "uvicorn", "local", "services", "schemas.events", "schemas.envelope"),
}


def every_command() -> list[list[str]]:
    """Each command, by the words that one types for it."""
    found = []
    for name in COMMANDS_LISTED:
        command = load(name)
        members = list(command.commands) if isinstance(command, TyperGroup) else []
        found += [[name, member] for member in members] or [[name]]
    return found


@pytest.mark.parametrize("command", every_command(), ids=" ".join)
def test_every_command_has_a_help_text_with_an_example(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    assert f"Example: ticketsync {' '.join(command)}" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("name", COMMANDS_LISTED)
def test_the_list_says_of_each_command_what_the_command_says_of_itself(name: str) -> None:
    said = (load(name).help or "").partition("\n\n")[0]

    assert COMMANDS_LISTED[name].line == " ".join(said.split())


def test_every_command_stands_in_one_part_of_the_list() -> None:
    assert sorted(name for names in PANELS.values() for name in names) == sorted(COMMANDS_LISTED)


@pytest.mark.parametrize("words", [["verify"], ["transfer", "retry"], []], ids=str)
def test_an_option_without_a_value_does_not_look_as_if_it_wanted_one(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--help"]) == 0

    told = capsys.readouterr().out
    # --help itself is typer's own.
    flags = [line for line in told.splitlines() if "<bool>" in line and "--help" not in line]
    assert flags == []
    assert "--" in told


@pytest.mark.parametrize("name", ASK_THE_SERVICES)
def test_a_command_that_asks_the_services_loads_no_client_of_anything_else(name: str) -> None:
    module = COMMANDS_LISTED[name].where.partition(":")[0]
    loaded = subprocess.run(
        [sys.executable, "-c", f"import sys, ops.main, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.split()

    assert not HEAVY & {*loaded, *(one.partition(".")[0] for one in loaded)}


def test_the_list_of_commands_loads_none_of_them() -> None:
    asked = "import sys, ops.main; ops.main.main(['--help']); print(*sys.modules, file=sys.stderr)"
    loaded = subprocess.run(
        [sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60
    ).stderr

    assert {one for one in loaded.split() if one.startswith("ops.")} == {"ops.main", "ops.commands", "ops.exits"}
    assert not {"pydantic", "httpx", "asyncio"} & set(loaded.split())


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["link", "r-1"],
        ["resync"],
        ["resync", "--all", "--folder", "f"],
        ["resync", "--all", "--rate", "fast"],
        ["resync", "--all", "--rate", "0/m"],
        ["resync", "--state", "lost"],
        ["resync", "--since", "yesterday"],
        ["resync", "--recording", "r", "--ticket", "t"],
        ["recordings", "--since", "2025-01-30T00:00:00Z", "--until", "2025-01-29T00:00:00Z"],
        ["recordings", "--blocked", "any", "--ticket", ""],
        ["replay", "linker", "TicketLinked", "--from", "3:1", "--from", "3:0"],
        ["dlq", "discard", "--at", "3:1200", "--yes"],
        ["dlq", "redrive", "--service", "linker", "--at", "3:1200", "--dry-run"],
        ["pause", "linker", "--why", "x"],
        ["pause", "transfer"],
        ["pause", "transfer", "--why", " "],
        ["audit", "--since", "yesterday"],
        ["run", "something"],
        ["run", "linker", "--as-deployed"],
        ["run", "cloud-emulator", "--migrate"],
        ["status", "r-1", "--wait", "settled"],
        ["status", "--wait", "for-ever"],
        ["status", "--every", "5"],
        ["lag", "--every", "5"],
        ["lag", "--watch", "--over", "5"],
        ["import", "/no/such/file.csv"],
        ["up", "--cloud-url", "ftp://cloud"],
        ["up", "--cloud-token", "x"],
    ],
    ids=" ".join,
)
def test_wrong_use_is_2_with_a_message_and_nothing_on_stdout(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LINKER_URL", "http://127.0.0.1:1")

    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.strip()
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    "command", ["link a.wav --ticket t", "unlink a.wav", "status r-1", "status", "verify", "transfer retry --yes"]
)
def test_an_empty_folder_is_not_the_same_as_none(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "x")
    for name in ("LINKER_URL", "TRANSFER_URL", "CLOUD_UPDATER_URL"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert main([*command.split(), "--folder", ""]) == 2
    assert "the name of a folder is empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "setting"),
    [
        (["status"], "LINKER_URL"),
        (["link", "r-1", "--ticket", "T"], "LINKER_URL"),
        (["topics", "check"], "KAFKA_BOOTSTRAP_SERVERS"),
        (["migrate"], "LINKER_DATABASE_URL"),
        (["run", "cloud-emulator"], "CLOUDS_TOKEN"),
        (["up", "--cloud-url", "http://127.0.0.1:1"], "CLOUDS_TOKEN"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_missing_setting_is_78_and_named(
    arguments: list[str], setting: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 78
    assert f"{setting} is not set" in capsys.readouterr().err


@pytest.mark.usefixtures("logging_as_before")
def test_a_server_that_is_not_there_is_69_and_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    monkeypatch.setenv("LINKER_URL", f"http://{address}")
    monkeypatch.setenv("API_TOKEN", "x")
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
    monkeypatch.setenv("LINKER_DATABASE_URL", f"postgresql+asyncpg://name:hidden@{address}/linker")

    assert main(["link", "r-1", "--ticket", "T"]) == 69
    assert f"linker at http://{address}" in capsys.readouterr().err
    assert main(["topics", "check"]) == 69
    assert f"Kafka at {address}" in capsys.readouterr().err
    assert main(["migrate", "linker"]) == 69
    _names_the_database(capsys)
    for start in (["run", "linker"], ["run", "linker", "--migrate"]):
        assert main(start) == 69
        _names_the_database(capsys)


def _names_the_database(capsys: pytest.CaptureFixture[str]) -> None:
    told = capsys.readouterr().err
    assert "LINKER_DATABASE_URL" in told
    assert "hidden" not in told
    assert "Traceback" not in told


def test_the_doctor_looks_at_everything_and_ends_with_the_gravest_finding(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 78

    told = json.loads(capsys.readouterr().out)
    assert told["ok"] is False
    assert {check["name"] for check in told["checks"]} >= {"kafka topics", "linker", "transfer", "cloud-updater"}


def test_the_doctor_names_a_wrong_token_while_another_service_is_away(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(Reply(401)) as linker:
        monkeypatch.setenv("LINKER_URL", linker.url)
        monkeypatch.setenv("TRANSFER_URL", "http://127.0.0.1:1")
        monkeypatch.setenv("API_TOKEN", "of-yesterday")
        main(["doctor", "--json"])

    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert "does not accept this API_TOKEN" in checks["linker API token"]["found"]
    assert (checks["linker API token"]["ok"], checks["linker API token"]["code"]) == (False, 78)
    assert "transfer API token" not in checks


def test_the_doctor_says_what_is_not_known_of_a_service_that_does_not_tell_of_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with answering(Reply(500)) as linker:
        monkeypatch.setenv("LINKER_URL", linker.url)
        monkeypatch.setenv("LINKER_DATABASE_URL", "postgresql+asyncpg://nobody:x@127.0.0.1:1/none")
        monkeypatch.setenv("API_TOKEN", "x")
        main(["doctor", "--json"])

    checks = {check["name"]: check for check in json.loads(capsys.readouterr().out)["checks"]}
    assert "linker at " in checks["linker database"]["found"]
    assert (checks["linker database"]["ok"], checks["linker database"]["code"]) == (False, 69)
    assert "ticketsync migrate linker" in checks["linker database"]["todo"]


def test_the_settings_of_a_data_folder_replace_those_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"CLOUDS_TOKEN": "of the stack", "API_TOKEN_FILE": "/of/the/stack"}))
    for name in ("API_TOKEN", "API_TOKEN_FILE", "CLOUDS_TOKEN", "CLOUDS_TOKEN_FILE"):
        monkeypatch.setenv(name, "/elsewhere")

    overlay(file)

    assert os.environ["CLOUDS_TOKEN"] == "of the stack"
    assert "CLOUDS_TOKEN_FILE" not in os.environ
    assert os.environ["API_TOKEN_FILE"] == "/of/the/stack"
    assert "API_TOKEN" not in os.environ


def test_a_word_that_is_none_is_told_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dlq", "list", "--reason", "rotten"]) == 2
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert "Invalid value for '--reason': 'rotten' is not one of 'malformed_json', " in said


def test_a_place_without_its_topic_names_no_dead_letter(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dlq", "discard", "--service", "linker", "--at", "3:1200", "--yes"]) == 2
    assert "say --topic as well" in capsys.readouterr().err


def test_a_pause_without_a_reason_is_told_in_plain_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pause", "transfer", "--why", ""]) == 2
    assert "--why is empty: give the reason" in capsys.readouterr().err


def test_the_shell_completes_commands_and_options() -> None:
    def completed(words: str, at: int) -> list[str]:
        asked = {"_TICKETSYNC_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        return ticketsync(settings=asked).out.split()

    assert completed("ticketsync reco", 1) == ["recordings"]
    assert "--repair" in completed("ticketsync verify --re", 2)


def test_a_script_that_stops_reading_gets_no_traceback() -> None:
    command = Path(sys.executable).with_name("ticketsync")
    piped = subprocess.run(
        f"{command} --help | head -c 1", shell=True, capture_output=True, text=True, check=False, timeout=60
    )

    assert "Traceback" not in piped.stderr


def test_a_name_that_looks_like_an_option_is_told_how_it_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "-opt"]) == 2
    assert "ticketsync explain -- -NAME" in " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert main(["audit", "-opt"]) == 2
    assert "stands behind" not in capsys.readouterr().err
