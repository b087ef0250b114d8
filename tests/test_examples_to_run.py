"""docs/examples: every command line is one that `ticketsync` takes, every setting one that it knows."""

import configparser
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from ops.main import app

DOCS = Path(__file__).parents[1] / "docs"
UNIT = DOCS / "examples/systemd/ticketsync@.service"
SUPERVISOR = DOCS / "examples/supervisor/ticketsync.conf"
SERVICES = ("linker", "transfer", "cloud-updater")
TOKENS = ("API_TOKEN", "API_TOKEN_PREVIOUS", "CLOUDS_TOKEN")
STOPS_WITHIN_S = 12


def read(path: Path) -> configparser.ConfigParser:
    parsed = configparser.ConfigParser(interpolation=None, strict=False)
    parsed.optionxform = str  # type: ignore[method-assign,assignment]  # as configparser's manual has it
    parsed.read_string(path.read_text())
    return parsed


def settings_of(name: str) -> dict[str, str]:
    lines = (DOCS / f"examples/systemd/{name}.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def is_taken(command: str) -> bool:
    program, *arguments = shlex.split(command)
    assert program == "/opt/ticketsync/bin/ticketsync"
    return CliRunner().invoke(app, [*arguments, "--help"]).exit_code == 0


@pytest.mark.parametrize("service", SERVICES)
def test_the_unit_starts_each_service_with_its_own_file(service: str) -> None:
    own = settings_of(service)
    command = read(UNIT)["Service"]["ExecStart"].replace("${SERVICE}", own["SERVICE"]).replace("${PORT}", own["PORT"])

    assert own["SERVICE"] == service
    assert is_taken(command)
    assert not is_taken(f"{command} --no-such-option")


def test_a_service_has_time_to_finish_its_step() -> None:
    programs = [section for name, section in read(SUPERVISOR).items() if name.startswith("program:")]

    assert int(read(UNIT)["Service"]["TimeoutStopSec"]) > STOPS_WITHIN_S
    assert [int(one["stopwaitsecs"]) > STOPS_WITHIN_S for one in programs] == [True] * len(SERVICES)


@pytest.mark.parametrize("service", SERVICES)
def test_supervisor_starts_each_service_on_ports_of_its_own(service: str) -> None:
    shell = read(SUPERVISOR)[f"program:ticketsync-{service}"]["command"].replace("%(process_num)02d", "07")
    command = shlex.split(shell)[2].rpartition("exec ")[2]

    assert f"run {service} " in command
    assert is_taken(command)


def test_every_setting_of_the_examples_is_documented() -> None:
    documented = set(re.findall(r"^\| `([A-Z_]+)`", (DOCS / "settings.md").read_text(), re.MULTILINE))
    named = {setting for name in ("common", *SERVICES) for setting in settings_of(name)} - {"SERVICE", "PORT"}

    assert {one.removesuffix("_FILE") for one in named} <= documented
    assert {one for one in named if "TOKEN" in one} == {f"{one}_FILE" for one in TOKENS}
