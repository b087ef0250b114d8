"""A cloud that is away, misconfigured or not finished yet, under load: the loops of two processes, over real HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from shared.reconcile import Loop
from tests.cloud_updater.given import a_link
from tests.cloud_updater.running import Updater, requests, running_updater, tickets, transferred
from tests.emulator.running import TOKEN, Emulator

FOLDERS = 30
LOOKS_S = 3.0
WITHIN_S = 150
# Less than until the next probe of a route that nobody has.
MOMENTS_S = 40
LEASED = "select 1 from ledger where lease_token is not null"


@asynccontextmanager
async def _at_work(*processes: Updater) -> AsyncIterator[None]:
    """The loops that send, and those that ping, of each process."""
    loops = [Loop("push_tickets", one.pushing.step, gate=one.gate, workers=4) for one in processes]
    loops += [Loop("ping_cloud", one.lane.ping) for one in processes]
    running = [asyncio.create_task(loop.run()) for loop in loops]
    try:
        yield
    finally:
        for loop in loops:
            loop.stop()
        await asyncio.gather(*running)


async def _lane(updater: Updater) -> str | None:
    async with updater.database.transaction() as connection:
        return (await updater.lane.look(connection)).reason


async def _until_stopped(updater: Updater, reason: str) -> None:
    """And until what was under way then has got its answer."""
    async with asyncio.timeout(WITHIN_S):
        while await _lane(updater) != reason or await updater.rows(LEASED):  # noqa: ASYNC110  # only the database knows
            await asyncio.sleep(0.02)


async def _until_nothing_is_owed(updater: Updater) -> None:
    async with asyncio.timeout(WITHIN_S):
        while await updater.owed():  # noqa: ASYNC110  # only the database knows
            await asyncio.sleep(0.05)


async def _linked(updater: Updater, cloud: Emulator) -> Sequence[str]:
    """A folder each with one recording whose link is to be pushed; the folders' uuids."""
    names = [f"R{number}" for number in range(FOLDERS)]
    uuids = [await transferred(updater, cloud, name, folder_id=f"F-{name}") for name in names]
    await updater.fold(*(a_link(name) for name in names))
    return uuids


async def test_in_an_outage_all_processes_together_try_one_request_a_second_and_then_everything_goes(
    updater_url: str, cloud: Emulator
) -> None:
    async with running_updater(updater_url, cloud) as one, running_updater(updater_url, cloud) as other:
        uuids = await _linked(one, cloud)
        cloud.arm(route="update_ticket", status=503, times=None)
        async with _at_work(one, other):
            await _until_stopped(one, "circuit_open")
            before, began_s = requests(cloud), time.monotonic()
            await asyncio.sleep(LOOKS_S)
            tried, took_s = requests(cloud) - before, time.monotonic() - began_s
            rejected = await one.rows("select 1 from recording where rejected is not null")
            cloud.control("DELETE", "faults")
            await _until_nothing_is_owed(one)

        assert 1 <= tried <= took_s + 1
        assert rejected == []
        assert all(await asyncio.to_thread(lambda: [set(tickets(cloud, uuid).values()) == {"T-1"} for uuid in uuids]))
        assert await one.rows("select reason, failures from lane") == [{"reason": None, "failures": 0}]


async def test_with_a_wrong_token_nothing_is_rejected_and_with_the_right_one_it_goes_on_by_itself(
    updater_url: str, cloud: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text(TOKEN)
    monkeypatch.setenv("CLOUDS_TOKEN_FILE", str(file))
    async with running_updater(updater_url, cloud) as updater:
        uuids = await _linked(updater, cloud)
        file.write_text("not-this-one")
        async with _at_work(updater):
            await _until_stopped(updater, "unauthorized")
            blocked = await updater.blocked()
            file.write_text(TOKEN)
            await _until_nothing_is_owed(updater)

        assert blocked == {"retrying": FOLDERS}
        assert all(await asyncio.to_thread(lambda: [set(tickets(cloud, uuid).values()) == {"T-1"} for uuid in uuids]))


async def test_a_cloud_without_the_route_is_asked_once_a_minute_and_nothing_flaps(
    updater_url: str, cloud: Emulator
) -> None:
    cloud.control("PUT", "capabilities", {"capabilities": []})
    async with running_updater(updater_url, cloud) as one, running_updater(updater_url, cloud) as other:
        await _linked(one, cloud)
        seen = set()
        async with _at_work(one, other):
            await _until_stopped(one, "no_route")
            before = requests(cloud)
            ends_s = time.monotonic() + LOOKS_S
            while time.monotonic() < ends_s:
                seen.add(await _lane(other))
                await asyncio.sleep(0.05)
            after = requests(cloud)
            waiting = await one.blocked()

        assert seen == {"no_route"}
        assert after == before
        assert waiting == {"retrying": FOLDERS}


@pytest.mark.parametrize("status", [403, 404])
async def test_a_folder_that_alone_is_refused_delays_the_others_for_moments(
    updater_url: str, cloud: Emulator, status: int
) -> None:
    cloud.arm(route="update_ticket", filename="R0.wav", status=status, times=None)
    async with running_updater(updater_url, cloud) as one, running_updater(updater_url, cloud) as other:
        uuids = await _linked(one, cloud)
        async with _at_work(one, other):
            for version in (2, 3, 4):
                links = [a_link(f"R{number}", version, ticket_id=f"T-{version}") for number in range(FOLDERS)]
                await one.fold(*links)
                async with asyncio.timeout(MOMENTS_S):
                    while await one.owed() > 1:  # noqa: ASYNC110  # only the database knows
                        await asyncio.sleep(0.05)
            tried = await one.rows("select attempts from ledger where attempts > 0")
            rejected = await one.rows("select 1 from recording where rejected is not null")
            cloud.control("DELETE", "faults")
            await one.change("update ledger set due_at = now() where attempts > 0")  # its wait is over
            await _until_nothing_is_owed(one)

        assert len(tried) == 1
        assert rejected == []
        assert all(await asyncio.to_thread(lambda: [set(tickets(cloud, uuid).values()) == {"T-4"} for uuid in uuids]))


@pytest.mark.parametrize("status", [403, 404])
async def test_a_lane_that_opens_after_a_refusal_does_not_call_back_what_was_refused(
    updater_url: str, cloud: Emulator, status: int
) -> None:
    cloud.arm(route="update_ticket", filename="R0.wav", status=status, times=None)
    async with running_updater(updater_url, cloud) as updater:
        await transferred(updater, cloud, "R0", folder_id="F0")
        uuid = await transferred(updater, cloud, "R1", folder_id="F1")
        await updater.fold(a_link("R0"))
        await updater.push()
        stopped = await _lane(updater)
        await updater.change("update ledger set due_at = now() + interval '1 hour' where attempts > 0")
        await updater.fold(a_link("R1"))
        # When it is time for the ping after a 403, and for the probe after a 404.
        await updater.change(
            "update lane set pinged_at = null, probe_at = case when probe_at is not null then now() end"
        )
        await updater.lane.ping()
        await updater.push()

        assert stopped == {403: "unauthorized", 404: "no_route"}[status]
        assert await _lane(updater) is None
        assert await asyncio.to_thread(tickets, cloud, uuid) == {"R1": "T-1"}
        assert requests(cloud) == 2  # each was tried once
        assert len(await updater.rows("select 1 from ledger where attempts = 1 and due_at > now()")) == 1
