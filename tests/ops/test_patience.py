"""A command that watches bears that the service is started again, and no more."""

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from ops.addresses import Addresses
from ops.exits import Unreachable
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
    lane = {"open": True, "reason": None, "message": None}
    status = Reply(body=json.dumps({"blocked": {}, "dead_letters": 0, "owed": 0, "lane": lane}).encode())
    with answering(a_resync(owed=2), status, Reply(500), Reply(502), a_resync(), status) as updater:
        addresses = Addresses(None, {"cloud_updater_url": updater.url, "api_token": "x"})
        done = watched(addresses, ["q-1"], total=3)

    assert (acknowledged(done), refused(done)) == (2, 1)


def test_a_silence_that_lasts_too_long_ends_it_with_what_to_do() -> None:
    patience = Patience(patience_s=-1)

    with pytest.raises(Unreachable) as stop:
        patience.bear(Unreachable("silent"), todo="ticketsync resyncs show q-1")

    assert stop.value.todo == "ticketsync resyncs show q-1"
    Patience().bear(Unreachable("silent"), todo="nothing yet")


def test_whoever_stops_watching_a_replay_is_told_that_it_goes_on() -> None:
    counts = {"read": 0, "newer": 0, "unchanged": 0, "bad": 0, "empty": 0}
    running = {"topic": "TicketLinked", "to_read": 5, "left": 5, **counts}
    planned = {"topic": "TicketLinked", "records": 5, "partitions": []}
    # One answer for whatever is asked.
    says = {**planned, "items": [running], "ready": True, "gate": "open"}
    with answering(Reply(body=json.dumps(says).encode())) as linker:
        words = [str(TICKETSYNC), "replay", "linker", "TicketLinked", "--from-start", "--yes"]
        settings = {**os.environ, "LINKER_URL": linker.url, "API_TOKEN": "x"}
        with subprocess.Popen(words, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=settings) as one:
            eventually(lambda: len(linker.seen) > 3)
            one.send_signal(signal.SIGINT)
            _, told = one.communicate(timeout=20)

    assert one.returncode == 130
    assert "the replay goes on by itself; the service shows how far it is under GET /replays" in told
