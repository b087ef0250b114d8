"""What a resync that is watched is said to wait for."""

import json

import pytest

from ops.resync_progress import Doing, what_is_done
from ops.service_api import ServiceApi
from tests.ops.answering import Reply, answering

READY = {"ready": True, "gate": "open", "stopped": []}
STATUS = {"blocked": {}, "dead_letters": 0, "owed": 0, "lane": {"open": True}}
UNREAD = "TicketLinked is not read on: 300 of 300 records cannot be applied"
PAUSED = {"open": False, "reason": "paused", "message": "ann at noon: until two"}


async def done(*answers: dict[str, object], late: bool = False) -> Doing:
    with answering(*(Reply(body=json.dumps(one).encode()) for one in answers)) as server:
        async with ServiceApi("cloud_updater", server.url, "x") as updater:
            return await what_is_done(updater, [], late=late)


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


async def test_a_resync_that_gets_on_waits_for_nothing() -> None:
    assert (await done(READY, STATUS)).waits_for is None
