"""The hostile postman: each event twice, in every order, in any batches; the rows are the same in the end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from itertools import groupby

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from schemas.events import Event
from tests.emulator.running import Emulator
from tests.transfer.given import NOON, a_link, a_recording, a_transfer
from tests.transfer.running import Rows, Transfer, running_transfer

EVENTS: tuple[Event, ...] = (
    a_recording("R1"),
    a_recording("R1", revision=2, folder_id="F2", filename="moved.wav"),
    a_recording("R1", revision=2, folder_id="F2", filename="same-place.wav"),
    a_recording("R2", requires_ticket=True),
    a_link("R1", 1),
    a_link("R1", 2, ticket_id=None),
    a_link("R2", 1),
    a_transfer("R1", 1, transferred_at="2025-01-29T12:00:00Z"),
    a_transfer("R1", 2, transferred_at="2025-01-29T13:00:00Z", clouds_uuid="uuid-2", folder_id="F2"),
)


async def _state(transfer: Transfer) -> dict[str, Rows]:
    return {
        "recording": await transfer.rows(
            "select recording_id, folder_id, filename, revision, wanted_version, waiting, rejected "
            "from recording order by 1"
        ),
        "ticket": await transfer.rows("select * from ticket order by 1"),
        "transfer": await transfer.rows(
            "select recording_id, folder_id, clouds_uuid, transfer_version, link_version from transfer order by 1"
        ),
        "folder": await transfer.rows(
            "select folder_id, clouds_uuid, uuid_since from folder where clouds_uuid is not null order by 1"
        ),
    }


async def _deliver(transfer: Transfer, events: list[Event]) -> None:
    """Neighbours of one kind come as one batch."""
    for _, batch in groupby(events, key=type):
        await transfer.fold(*batch)


async def _empty(transfer: Transfer) -> None:
    await transfer.change("truncate recording, ticket, transfer, unheard_transfer, folder, upload_request, frozen_file")


@pytest.fixture
async def expected(transfer_url: str, cloud: Emulator) -> AsyncIterator[tuple[str, dict[str, Rows]]]:
    async with running_transfer(transfer_url, cloud) as transfer:
        await _deliver(transfer, list(EVENTS))
        state = await _state(transfer)
        await _empty(transfer)
        yield transfer_url, state


def test_every_event_twice_and_in_every_order_gives_the_same_rows(
    expected: tuple[str, dict[str, Rows]], cloud: Emulator
) -> None:
    transfer_url, state = expected
    assert [row["waiting"] for row in state["recording"]] == [False, True]
    assert [row["transfer_version"] for row in state["transfer"]] == [2]

    with asyncio.Runner() as runner:
        process = AsyncExitStack()
        transfer = runner.run(process.enter_async_context(running_transfer(transfer_url, cloud)))

        @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
        @given(st.permutations(EVENTS + EVENTS))
        def delivered(events: list[Event]) -> None:
            runner.run(_empty(transfer))
            runner.run(_deliver(transfer, events))
            assert runner.run(_state(transfer)) == state

        try:
            delivered()
        finally:
            runner.run(process.aclose())


async def test_a_replay_writes_nothing_and_sends_nothing(transfer: Transfer, cloud: Emulator) -> None:
    facts, links = [a_recording("R1"), a_recording("R2")], [a_link("R1")]
    await transfer.fold(*links)
    await transfer.fold(*facts)
    await transfer.upload()
    own = [a_transfer(f"R{number}") for number in (1, 2)]
    await transfer.fold(*own)
    tables = ("recording", "ticket", "transfer", "folder")
    before = {table: await transfer.rows(f"select xmin, ctid, * from {table} order by 3") for table in tables}

    again = [await transfer.fold(*facts), await transfer.fold(*links), await transfer.fold(*own)]
    await transfer.upload()

    assert {table: await transfer.rows(f"select xmin, ctid, * from {table} order by 3") for table in tables} == before
    assert [folded.newer for folded in again] == [0, 0, 0]
    assert cloud.kinds() == ["create"]


async def test_what_the_topic_says_last_is_announced_until_it_is_the_newest(transfer: Transfer) -> None:
    from services.transfer.announce_transfers import facts, unheard  # noqa: PLC0415

    async def to_announce() -> dict[str, object]:
        async with transfer.database.transaction() as connection:
            found = dict(await unheard(connection, 100))
            assert found == {key: version for key, (version, _) in (await facts(connection, list(found))).items()}
            return found

    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    announced_at_first = await to_announce()
    await transfer.fold(a_transfer("R1", 1))
    after_it_came_back = await to_announce()
    await transfer.fold(a_transfer("R1", 2, transferred_at=NOON.replace(year=2030)))
    folded = await transfer.fold(a_transfer("R1", 1))
    after_a_late_old_one = await to_announce()

    assert announced_at_first == {"R1": 1}
    assert after_it_came_back == {}
    assert after_a_late_old_one == {"R1": 2}
    assert folded.wake == ("announce_transfers",)


async def test_a_set_back_database_closes_a_request_that_its_own_facts_prove(
    transfer: Transfer, cloud: Emulator
) -> None:
    cloud.arm(route="create", kind="close_after_effect")
    await transfer.fold(a_recording("R1"), a_recording("R2"))
    await transfer.upload()
    assert len(await transfer.rows("select * from upload_request")) == 1

    await transfer.fold(a_transfer("R1"))
    half_known = await transfer.rows("select * from upload_request")
    await transfer.fold(a_transfer("R2"))
    await transfer.waits_are_over()
    await transfer.upload()

    assert len(half_known) == 1
    assert await transfer.rows("select * from upload_request") == []
    assert cloud.control("GET", "requests/count")["by_route"] == {"ping": 1, "create": 1}
    assert await transfer.rows("select clouds_uuid, held, retry_at, due_at from folder") == [
        {"clouds_uuid": "uuid-1==", "held": None, "retry_at": None, "due_at": None}
    ]


async def test_an_old_fact_beside_a_new_one_does_not_move_a_folder_back(transfer: Transfer) -> None:
    await transfer.fold(a_transfer("R1", 2, clouds_uuid="uuid-2", transferred_at="2025-01-29T13:00:00Z"))

    await transfer.fold(a_transfer("R1", 1), a_transfer("R2", 1, folder_id="F2", clouds_uuid="uuid-3"))

    assert await transfer.rows("select folder_id, clouds_uuid from folder order by 1") == [
        {"folder_id": "F1", "clouds_uuid": "uuid-2"},
        {"folder_id": "F2", "clouds_uuid": "uuid-3"},
    ]


async def test_own_facts_of_a_lost_database_leave_nothing_to_upload(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(a_transfer("R1"), a_transfer("R2"))
    await transfer.fold(a_recording("R1"), a_recording("R2"), a_recording("R3"))
    await transfer.upload()

    # Only R3 was never transferred; its folder is the one that the facts name, and the emulator does not have it.
    assert await transfer.rows("select recording_id from recording where waiting") == [{"recording_id": "R3"}]
    assert await transfer.rows("select held from folder") == [{"held": "missing_in_cloud"}]
    assert cloud.control("GET", "requests/count")["by_route"] == {"ping": 1, "inject": 1}
