"""What a resync that is watched is said to wait for."""

import json
from collections.abc import Sequence

import pytest

from ops.answers.resyncs import ResyncProgress
from ops.resync_progress import Doing, what_is_done
from ops.service_api import ServiceApi
from tests.ops.answering import Reply, answering

READY = {"ready": True, "gate": "open", "stopped": []}
STATUS = {"blocked": {}, "dead_letters": 0, "owed": 0, "lane": {"open": True}}
UNREAD = "TicketLinked is not read on: 300 of 300 records cannot be applied"
PAUSED = {"open": False, "reason": "paused", "message": "ann at noon: until two"}


def a_resync(state: str, *, folders_before: int = 0) -> ResyncProgress:
    counts = dict.fromkeys(("folders", "folders_done", "owed", "refused", "made_owed"), 0)
    of = {"request_id": "Q1", "requested_at": "2025-01-29T12:00:00Z", "requested_by": "ann", "force": True}
    none = dict.fromkeys(("recordings", "folder_id", "rate_per_minute", "done_at"))
    return ResyncProgress.model_validate({**counts, **of, **none, "state": state, "folders_before": folders_before})


async def done(*answers: dict[str, object], seen: Sequence[ResyncProgress] = (), late: bool = False) -> Doing:
    with answering(*(Reply(body=json.dumps(one).encode()) for one in answers)) as server:
        async with ServiceApi("cloud_updater", server.url, "x") as updater:
            return await what_is_done(updater, seen, asked=1, late=late)


@pytest.mark.parametrize(
    ("ready", "lane", "late", "said"),
    [
        ({"stopped": [UNREAD], "ready": False}, {}, "no", [UNREAD, "ticketsync dlq list", "waits for that"]),
        ({}, {"lane": PAUSED}, "no", ["until two", "waits for that"]),
        ({}, {}, "yes", ["has not read the request yet", "ticketsync lag", "waits for that"]),
    ],
    ids=["topic stopped", "lane stopped", "topic behind"],
)
async def test_what_keeps_a_resync_is_told(
    ready: dict[str, object], lane: dict[str, object], late: str, said: list[str]
) -> None:
    doing = await done(READY | ready, STATUS | lane, late=late == "yes")

    assert doing.waits_for
    assert all(one in doing.waits_for for one in said), doing.waits_for


async def test_a_resync_that_is_read_and_gives_way_is_not_said_to_be_unread() -> None:
    gives_way = await done(READY, STATUS, seen=[a_resync("waiting", folders_before=50)], late=True)
    one_before = await done(READY, STATUS, seen=[a_resync("waiting", folders_before=1)], late=True)
    not_begun = await done(READY, STATUS, seen=[a_resync("waiting")], late=True)
    after_a_step = await done(READY, STATUS, seen=[a_resync("running", folders_before=1)], late=True)

    assert "gives way to 50 folders whose turn is before it" in str(gives_way.waits_for)
    assert "gives way to 1 folder whose" in str(one_before.waits_for)
    assert "has not read all that it selects from yet, or has another before it" in str(not_begun.waits_for)
    assert (after_a_step.word, after_a_step.waits_for) == ("gives way", None)


async def test_a_resync_that_gets_on_waits_for_nothing() -> None:
    assert (await done(READY, STATUS)).waits_for is None
