"""The hostile postman: each event twice, in every order, in any batches; the rows are the same in the end."""

import asyncio
from contextlib import AsyncExitStack
from itertools import groupby

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import Event
from services.cloud_updater.predicates import OWED
from tests.cloud_updater.given import a_link, a_resync, a_transfer, an_update
from tests.cloud_updater.running import Rows, Updater, pushed, running_updater, transferred
from tests.emulator.running import Emulator

EVENTS: tuple[Event, ...] = (
    a_link("R1", 1),
    a_link("R1", 2, ticket_id="T-2"),
    a_link("R1", 3, ticket_id=None),
    a_transfer("R1", 1, uuid="uuid-1"),
    a_transfer("R1", 2, uuid="uuid-2", link_version=2),
    an_update("R1", 1, 3, uuid="uuid-1"),
    a_link("R2", 1),
    a_transfer("R2", 1, uuid="uuid-1", link_version=1),
    a_link("R3", 4, ticket_id="T-4"),
    a_transfer("R3", 1, uuid="uuid-2", link_version=3),
    an_update("R4", 1, 1, uuid="uuid-9"),
    a_resync("Q1", force=True, recording_ids=["R2"]),
)
TABLES = ("recording", "file", "ledger", "sync_request", "dead_letter")
WHAT_IS_KNOWN = """
    select recording_id, folder_id, clouds_uuid, transfer_version, link_version, known_transfer_version,
        known_link_version, forced, rejected from recording order by 1
"""


async def _state(updater: Updater) -> dict[str, Rows]:
    return {
        "recordings": await updater.rows(WHAT_IS_KNOWN),
        "files": await updater.rows("select * from file order by 1"),
        "tickets": await updater.rows("select recording_id, ticket from recording order by 1"),
        "folders": await updater.rows("select clouds_uuid, folder_id, missing from ledger order by 1"),
        "owed": await updater.rows(f"select recording_id from ledger l join recording r on {OWED} order by 1"),
        "resyncs": await updater.rows("select request_id, force, done_at from sync_request"),
    }


async def _deliver(updater: Updater, events: list[Event]) -> None:
    """Neighbours of one kind come as one batch."""
    for _, batch in groupby(events, key=type):
        await updater.fold(*batch)


async def _empty(updater: Updater) -> None:
    await updater.change(f"truncate {', '.join(TABLES)}")


@pytest.fixture
async def expected(updater: Updater, updater_url: str) -> tuple[str, dict[str, Rows]]:
    await _deliver(updater, list(EVENTS))
    return updater_url, await _state(updater)


def test_every_event_twice_and_in_every_order_gives_the_same_rows(
    expected: tuple[str, dict[str, Rows]], cloud: Emulator
) -> None:
    updater_url, state = expected
    assert [row["recording_id"] for row in state["owed"]] == ["R1", "R3"]
    assert [row["clouds_uuid"] for row in state["recordings"]] == ["uuid-2", "uuid-1", "uuid-2", None]

    with asyncio.Runner() as runner:
        process = AsyncExitStack()
        updater = runner.run(process.enter_async_context(running_updater(updater_url, cloud)))

        @settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(st.permutations(EVENTS + EVENTS))
        def delivered(events: list[Event]) -> None:
            runner.run(_empty(updater))
            runner.run(_deliver(updater, events))
            assert runner.run(_state(updater)) == state

        try:
            delivered()
        finally:
            runner.run(process.aclose())


async def test_a_replay_writes_nothing_and_sends_nothing(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    links = [a_link("R1"), a_link("R2", 2, ticket_id=None)]
    await updater.fold(*links)
    await updater.push_and_hear()
    tables = [table for table in TABLES if table != "dead_letter"]
    before = {table: await updater.rows(f"select xmin, ctid, * from {table} order by 3") for table in tables}

    again = [
        await updater.fold(*links),
        await updater.fold(a_transfer("R1", uuid=uuid), a_transfer("R2", uuid=uuid)),
        await updater.fold(an_update("R1", 1, 1, uuid=uuid), an_update("R2", 1, 2, uuid=uuid)),
    ]
    await updater.push()

    assert {table: await updater.rows(f"select xmin, ctid, * from {table} order by 3") for table in tables} == before
    assert [folded.newer for folded in again] == [0, 0, 0]
    assert pushed(cloud) == [["R1", "R2"]]


async def test_own_facts_of_a_lost_database_leave_nothing_to_push(updater: Updater, cloud: Emulator) -> None:
    uuid = cloud.folder({"filename": "R1.wav", "token": 1, "size": "1 KB", "transcribe": "a"})

    await updater.fold(an_update("R1", 1, 2, uuid=uuid))
    await updater.fold(a_link("R1", 2))
    await updater.fold(a_transfer("R1", 1, uuid=uuid, link_version=1))
    await updater.push()

    assert pushed(cloud) == []
    assert await updater.owed() == 0
