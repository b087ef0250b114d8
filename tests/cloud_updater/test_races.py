"""Two transactions at once on genuine PostgreSQL: the later one sees the earlier one, and neither waits for ever."""

import asyncio
import random

import pytest

from schemas.events import Event
from services.cloud_updater.predicates import OWED
from tests.cloud_updater.given import a_link, a_resync, a_transfer, an_update
from tests.cloud_updater.running import Updater, running_updater, tickets, transferred
from tests.emulator.running import Emulator, a_file


async def _owed(updater: Updater) -> list[str]:
    rows = await updater.rows(f"select recording_id from ledger l join recording r on {OWED} order by 1")
    return [row["recording_id"] for row in rows]


@pytest.mark.parametrize("known_before", [False, True])
@pytest.mark.parametrize("first_kind", ["link", "transfer"])
async def test_of_a_link_and_a_transfer_at_the_same_moment_the_later_sees_the_earlier(
    updater: Updater,
    known_before: bool,  # noqa: FBT001  # pytest passes it by name
    first_kind: str,
) -> None:
    link, transfer = a_link("R1", 2), a_transfer("R1", 1, link_version=1)
    if known_before:
        await updater.fold(a_link("R1", 1))
    first, second = (link, transfer) if first_kind == "link" else (transfer, link)

    async with updater.database.transaction() as connection:
        await updater.fold_in(connection, first)
        later = asyncio.create_task(updater.fold(second))
        await asyncio.sleep(0.1)
        waits = not later.done()
    await later

    assert waits
    assert await _owed(updater) == ["R1"]


async def test_a_claim_passes_by_a_folder_that_is_being_folded(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1", 1, ticket_id="T-1"))

    async with updater.database.transaction() as connection:
        await updater.fold_in(connection, a_link("R1", 2, ticket_id="T-2"))
        async with asyncio.timeout(2):
            await updater.push()
        during = tickets(cloud, uuid)
    await updater.push()

    assert during == {"R1": None}
    assert tickets(cloud, uuid) == {"R1": "T-2"}


@pytest.mark.parametrize(
    "kinds", [("link", "transfer"), ("link", "update"), ("transfer", "update"), ("link", "resync"), ("link", "link")]
)
async def test_folds_of_the_same_recordings_never_deadlock(updater: Updater, kinds: tuple[str, str]) -> None:
    """PostgreSQL breaks a deadlock by failing one of the two; none fails here, whatever order the records come in."""
    names = [f"R{number:02}" for number in range(40)]
    folders = {name: f"uuid-{number % 5}" for number, name in enumerate(names)}
    await updater.fold(*(a_transfer(name, uuid=folders[name]) for name in names[::2]))

    def events(kind: str, version: int) -> list[Event]:
        shuffled = random.sample(names, len(names))
        match kind:
            case "link":
                return [a_link(name, version) for name in shuffled]
            case "transfer":
                return [a_transfer(name, version, uuid=folders[name]) for name in shuffled]
            case "update":
                return [an_update(name, version, version, uuid=folders[name]) for name in shuffled]
            case _:
                return [a_resync(f"Q{version}", force=bool(version % 2), recording_ids=shuffled)]

    async def storm(kind: str, start: int) -> None:
        for version in range(start, 24, 2):
            await updater.fold(*events(kind, version))
            await updater.expanding.step()

    await asyncio.gather(storm(kinds[0], 1), storm(kinds[1], 2), storm(kinds[0], 2), storm(kinds[1], 3))

    newest = await updater.rows("select min(link_version) as link, min(transfer_version) as transfer from recording")
    versioned = [kind for kind in ("link", "transfer") if kind in kinds]
    assert [newest[0][kind] for kind in versioned] == [23] * len(versioned)


async def test_batches_with_recordings_that_nobody_knew_never_deadlock(updater: Updater) -> None:
    for number in range(60):
        names = [f"{number}-{one}" for one in range(8)]
        batches = [random.sample(names, random.randint(1, 8)) for _ in range(8)]
        await asyncio.gather(*(updater.fold(*(a_link(one) for one in batch)) for batch in batches))


async def test_a_folder_in_a_storm_ends_with_the_newest_tickets(
    updater: Updater, updater_url: str, cloud: Emulator
) -> None:
    """Two processes push and announce while links, transfers to a new folder and resyncs arrive in any order."""
    names = [f"R{number}" for number in range(12)]
    old = await transferred(updater, cloud, *names)
    new = cloud.folder(*(a_file(f"{name}.wav") for name in names[:4]), name="F2")
    for kind in ("close_after_effect", "close_before_effect"):
        cloud.arm(kind=kind, route="update_ticket", times=2)
    cloud.arm(status=503, route="update_ticket", times=2)
    events: list[Event] = [a_link(name, version, ticket_id=f"T-{version}") for name in names for version in range(1, 6)]
    events += [a_transfer(name, 2, uuid=new, link_version=2) for name in names[:4]]
    events += [a_resync(f"Q{number}", force=bool(number % 2)) for number in range(4)]
    random.shuffle(events)
    stop = asyncio.Event()

    async def work(process: Updater) -> None:
        while not stop.is_set():
            await process.pushing.step()
            await process.again.step()
            await process.expanding.step()
            await process.hear()
            await process.change(
                "update ledger set due_at = now() where clouds_uuid in (select clouds_uuid from ledger "
                "where lease_token is null and due_at is not null order by clouds_uuid for update skip locked)"
            )
            await process.change("update duty set due_at = now()")
            await process.change("update lane set probe_at = now()")

    async with running_updater(updater_url, cloud) as other:
        workers = [asyncio.create_task(work(process)) for process in (updater, other, other)]
        for start in range(0, len(events), 5):
            for event in events[start : start + 5]:
                await updater.fold(event)
        async with asyncio.timeout(60):
            while await _unfinished(updater):  # noqa: ASYNC110  # the database sets no event
                await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*workers)

    assert tickets(cloud, new) == dict.fromkeys(names[:4], "T-5")
    assert {name: tickets(cloud, old)[name] for name in names[4:]} == dict.fromkeys(names[4:], "T-5")
    assert {link for _, link in (await updater.acknowledged(*names)).values()} == {5}


async def _unfinished(updater: Updater) -> int:
    rows = await updater.rows("select (select count(*) from duty) + (select count(*) from claim) as count")
    to_announce = await updater.rows("select 1 from ledger where announced_cursor < cursor")
    return int(rows[0]["count"]) + len(to_announce) + await updater.owed()
