"""The conformance check finds nothing in a good cloud, and what is wrong in a bad one."""

import os
import subprocess
import sys

import pytest

from local.emulator.conformance import check, main
from local.emulator.rules import RULES
from tests.emulator.running import TOKEN, Emulator


def outcomes(cloud: Emulator) -> dict[str, str]:
    return {result.rule: result.outcome for result in check(cloud.url, TOKEN)}


def test_a_cloud_with_everything_keeps_every_rule_and_is_left_clean(cloud: Emulator) -> None:
    assert set(outcomes(cloud).values()) == {"kept"}
    assert cloud.control("GET", "folders") == {"folders": []}
    assert cloud.control("GET", "requests/count")["total"] < 100


def test_of_the_deployed_cloud_only_the_facts_are_asked(deployed: Emulator) -> None:
    found = list(outcomes(deployed).values())

    assert found.count("kept") == 7
    assert found.count("left out") == len(RULES) - 7


@pytest.mark.parametrize(
    ("route", "body", "rule"),
    [
        ("update_ticket", {"ok": True}, "A ticket field that is too long is refused by its name."),
        ("read", {"data": {}}, "A folder reads back with its tickets."),
        ("create", {"status": 200, "message": "Successfully!"}, "An Idempotency-Key with another body is refused."),
        ("delete", "<html>", "A folder can be deleted, also one that is gone."),
        ("inject", {"status": 200}, "An unknown folder is 400 Recording not found."),
    ],
)  # fmt: skip
def test_a_cloud_that_answers_something_else_is_found_out(cloud: Emulator, route: str, body: object, rule: str) -> None:
    cloud.arm(route=route, status=200, body=body, times=None)

    assert outcomes(cloud)[rule] == "broken"


def test_a_closed_connection_breaks_a_rule_and_not_the_check(cloud: Emulator) -> None:
    cloud.arm(route="inject", kind="close_before_effect", times=None)

    assert "broken" in outcomes(cloud).values()


def test_the_exit_code_tells(cloud: Emulator) -> None:
    command = [sys.executable, "-m", "local.emulator.conformance", cloud.url]
    environment = {**os.environ, "CLOUDS_TOKEN": TOKEN}

    good = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    cloud.arm(route="delete", status=500, times=None)
    bad = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    assert (good.returncode, bad.returncode) == (0, 1)
    assert good.stdout.count("kept") == len(RULES)


def test_a_cloud_that_is_not_there_is_said_to_be_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOUDS_TOKEN", TOKEN)

    assert main(["http://127.0.0.1:9"]) == 69
    assert main([]) == 2
