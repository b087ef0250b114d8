"""A command that watches bears that the service is started again, and no more."""

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from ops.addresses import Addresses
from ops.exits import Unreachable
from ops.main import main
from ops.patience import Patience
from ops.resync_progress import acknowledged, refused, watched
from tests.ops.answering import Reply, answering
from tests.ops.commands import TICKETSYNC
from tests.pipeline.running import eventually


def a_resync(**fields: object) -> Reply:
    said: dict[str, Any] = {
        "request_id": "q-1",
        "requested_at": "2025-01-29T10:30:00Z",
        "requested_by": "ann",
        "force": False,
        "recordings": 3,
        "folder_id": None,
        "rate_per_minute": None,
        "state": "carried_out",
        "made_owed": 3,
        "done_at": None,
        "folders": 1,
        "folders_done": 1,
        "owed": 0,
        "refused": 1,
    }
    return Reply(body=json.dumps({**said, **fields}).encode())


def test_a_resync_is_watched_on_although_its_service_is_started_again() -> None:
    free = (READY, a_status(reason=None))
    with answering(a_resync(owed=2), *free, Reply(500), Reply(502), a_resync(), *free) as updater:
        addresses = Addresses(None, {"cloud_updater_url": updater.url, "api_token": "x"})
        done = watched(addresses, ["q-1"], total=3)

    assert (acknowledged(done), refused(done)) == (2, 1)


READY = Reply(body=b'{"ready": true, "gate": "open"}')


def a_status(*, reason: str | None, message: str | None = None) -> Reply:
    lane = {"open": reason is None, "reason": reason, "message": message}
    return Reply(body=json.dumps({"blocked": {}, "dead_letters": 0, "owed": 0, "lane": lane}).encode())


def test_a_stopped_way_to_the_cloud_is_told_once_with_what_lets_it_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    stopped = a_status(reason="paused", message="ann at noon: maintenance")
    with answering(
        *(a_resync(owed=2), READY, stopped),
        *(a_resync(owed=2), READY, stopped),
        *(a_resync(), READY, a_status(reason=None)),
    ) as updater:
        watched(Addresses(None, {"cloud_updater_url": updater.url, "api_token": "x"}), ["q-1"], total=3)

    told = capsys.readouterr().err
    assert told.count("the way to the cloud is stopped: paused, ann at noon: maintenance.") == 1
    assert told.count("ticketsync resume cloud-updater") == 1
    assert told.count("It goes on now.") == 1


def test_a_resync_that_somebody_has_paused_is_told_with_what_resumes_it(capsys: pytest.CaptureFixture[str]) -> None:
    paused = a_resync(state="paused", owed=2)
    with answering(paused, paused, a_resync(), READY, a_status(reason=None)) as updater:
        watched(Addresses(None, {"cloud_updater_url": updater.url, "api_token": "x"}), ["q-1"], total=3)

    assert capsys.readouterr().err.count("ticketsync resyncs resume q-1") == 1


def test_nothing_is_told_of_a_resync_that_nothing_stops(capsys: pytest.CaptureFixture[str]) -> None:
    with answering(a_resync(), READY, a_status(reason=None)) as updater:
        watched(Addresses(None, {"cloud_updater_url": updater.url, "api_token": "x"}), ["q-1"], total=3)

    assert "stopped" not in capsys.readouterr().err


def test_a_silence_that_lasts_too_long_ends_it_with_what_to_do() -> None:
    patience = Patience(patience_s=-1)

    with pytest.raises(Unreachable) as stop:
        patience.bear(Unreachable("silent"), todo="ticketsync resyncs show q-1")

    assert stop.value.todo == "ticketsync resyncs show q-1"
    Patience().bear(Unreachable("silent"), todo="nothing yet")


COUNTS = {"read": 5, "newer": 0, "unchanged": 5, "bad": 0, "empty": 0}
# One answer for whatever is asked about a replay: what it would read, how far it is, and that the service is ready.
OF_A_REPLAY = {
    "topic": "TicketLinked",
    "records": 5,
    "partitions": [],
    "ready": True,
    "gate": "open",
    "items": [{"topic": "TicketLinked", "to_read": 5, "left": 0, **COUNTS}],
}


@pytest.mark.parametrize("then", [200, 409], ids=["had not begun it", "had begun it"])
def test_a_replay_is_begun_although_its_service_is_started_again_at_that_moment(
    then: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    says = Reply(body=json.dumps(OF_A_REPLAY).encode())
    with answering(says, Reply(502), Reply(then, says.body), says) as linker:
        monkeypatch.setenv("LINKER_URL", linker.url)
        monkeypatch.setenv("API_TOKEN", "x")
        code = main(["replay", "linker", "TicketLinked", "--from-start", "--yes", "--json"])

    assert code == 0
    plan = {"topic": "TicketLinked", "dry_run": False, "records": 5, "partitions": []}
    assert json.loads(capsys.readouterr().out) == {**plan, **COUNTS}


def test_a_replay_that_somebody_else_has_begun_is_not_taken_for_ones_own(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    says = Reply(body=json.dumps(OF_A_REPLAY).encode())
    with answering(says, Reply(409, b'{"detail": "A replay is not over yet"}')) as linker:
        monkeypatch.setenv("LINKER_URL", linker.url)
        monkeypatch.setenv("API_TOKEN", "x")
        code = main(["replay", "linker", "TicketLinked", "--from-start", "--yes", "--json"])

    assert (code, "not over yet" in capsys.readouterr().err) == (1, True)


def test_whoever_stops_watching_a_replay_is_told_that_it_goes_on() -> None:
    says = {**OF_A_REPLAY, "items": [{"topic": "TicketLinked", "to_read": 5, "left": 5, **COUNTS}]}
    with answering(Reply(body=json.dumps(says).encode())) as linker:
        words = [str(TICKETSYNC), "replay", "linker", "TicketLinked", "--from-start", "--yes"]
        settings = {**os.environ, "LINKER_URL": linker.url, "API_TOKEN": "x"}
        with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=settings) as one:
            eventually(lambda: len(linker.seen) > 3)
            one.send_signal(signal.SIGINT)
            _, told = one.communicate(timeout=20)

    assert one.returncode == 130
    assert "the replay goes on by itself; the service shows how far it is under GET /replays" in told
