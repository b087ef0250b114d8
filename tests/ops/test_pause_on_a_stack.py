"""`ticketsync pause`, `resume` and `audit` on a whole stack of real processes."""

import httpx
import pytest

from tests.ops.on_a_stack import Stack
from tests.pipeline.running import eventually

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]


def owed(stack: Stack) -> int:
    """Links that cloud_updater has to push; 0 also while it starts."""
    headers = {"Authorization": f"Bearer {stack.addresses['api_token']}"}
    try:
        answer = httpx.get(f"{stack.addresses['cloud_updater_url']}/status", headers=headers, trust_env=False)
    except httpx.TransportError:
        return 0
    return int(answer.json()["owed"]) if answer.is_success else 0


def test_what_was_done_is_listed_with_who_did_it(stack: Stack) -> None:
    folder = stack.upload("a.wav")
    stack("link", f"{folder}/a.wav", "--ticket", "T-1", "--by", "Ann Weiß")

    listed = stack("audit", "--who", "Ann Weiß", "--json").json["items"]
    of_the_recording = stack("audit", "--subject", f"{folder}/a.wav")

    assert [(one["service"], one["what"]) for one in listed] == [("linker", "linked")]
    assert "Ann Weiß" in of_the_recording.out
    assert max(len(line) for line in of_the_recording.out.splitlines()) <= 100
    assert stack("audit", "--since", "yesterday").code == 2
    assert stack("link", f"{folder}/a.wav", "--ticket", "T-2", "--by", "a\nb").code == 2


def test_a_paused_service_sends_nothing_over_its_restart_and_says_so_until_it_is_resumed(stack: Stack) -> None:
    folder = stack.upload("a.wav")
    paused = stack("pause", "cloud-updater", "--why", "maintenance", "--by", "ann", "--json")
    stack.restart("cloud-updater")
    stack("link", f"{folder}/a.wav", "--ticket", "T-1")
    eventually(lambda: owed(stack) == 1, within_s=60)
    waiting = stack("status", "--wait", "settled", "--timeout", 1, "--json")

    status = stack("status").err
    doctor = {one["name"]: one for one in stack("doctor", "--json").json["checks"]}
    ready = httpx.get(f"{stack.addresses['cloud_updater_url']}/readyz", trust_env=False)
    resumed = stack("resume", "cloud-updater", "--by", "bob", "--json")
    stack.settle()

    assert (paused.code, paused.json["open"], paused.json["reason"]) == (0, False, "paused")
    assert waiting.json["blocked"]["retrying"] == 1
    assert "Z: maintenance" in " ".join(status.split())
    assert doctor["cloud-updater"]["todo"] == "ticketsync resume cloud-updater"
    assert (ready.status_code, ready.json()["lane"]["reason"]) == (200, "paused")
    assert (resumed.code, resumed.json["open"]) == (0, True)
    assert stack.about(folder, "a.wav")["state"] == "in_sync"
    listed = stack("audit", "--subject", "lane", "--json").json["items"]
    assert [(one["who"], one["what"], one["service"]) for one in listed] == [
        ("bob", "lane_resumed", "cloud-updater"),
        ("ann", "lane_paused", "cloud-updater"),
    ]


def test_a_pause_needs_a_reason_and_a_service_that_sends(stack: Stack) -> None:
    assert stack("pause", "cloud-updater").code == 2
    assert stack("pause", "cloud-updater", "--why", "").code == 2
    assert stack("pause", "linker", "--why", "x").code == 2
    assert stack("resume", "transfer").code == 0
