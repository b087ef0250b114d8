"""Rows are locked in order of recording_id, whatever plan PostgreSQL makes: two writers wait and never deadlock."""

import asyncio

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.store_links import Links
from tests.linker.given import a_fact, a_recording, a_request
from tests.linker.running import Linker

IDS = [f"R{number}" for number in range(9)]


async def as_it_lies(connection: AsyncConnection) -> None:
    """Have the planner read the table in the order in which its rows lie."""
    for setting in ("enable_nestloop", "enable_indexscan", "enable_bitmapscan", "enable_mergejoin"):
        await connection.execute(text(f"set local {setting} = off"))


async def one_waits(linker: Linker) -> None:
    """Return when a transaction of this database waits for a lock."""
    waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
    async with asyncio.timeout(10):
        while not await linker.rows(waiting):  # noqa: ASYNC110  # only the database knows
            await asyncio.sleep(0.01)


async def test_hearing_waits_for_the_first_row_before_it_takes_another(linker: Linker) -> None:
    for recording_id in reversed(IDS):  # which is how they lie in the table
        await linker.fold(a_fact(recording_id, 1))

    async def hear() -> None:
        async with linker.database.transaction() as connection:
            await as_it_lies(connection)
            await Links(connection).hear(dict.fromkeys(IDS, 2))

    async with linker.database.transaction() as holder:
        await holder.execute(text("select from link where recording_id = 'R0' for update"))
        hearing = asyncio.create_task(hear())
        await one_waits(linker)
        free = await linker.rows("select recording_id from link order by recording_id for update skip locked")
    await hearing

    assert [row["recording_id"] for row in free] == IDS[1:]
    assert await linker.unheard() == dict.fromkeys(IDS, 1)


async def test_what_is_learned_and_what_is_only_heard_are_locked_in_one_order(linker: Linker) -> None:
    """R8 is news, R0 is only heard, late; who has R0 and comes for R8 must not meet a fold that has R8 alone."""
    await linker.fold(a_fact("R8", 1))
    await linker.fold(a_fact("R0", 1), a_fact("R0", 2, "T-2"))

    async with linker.database.transaction() as holder:
        await holder.execute(text("select from link where recording_id = 'R0' for update"))
        folding = asyncio.create_task(linker.fold(a_fact("R8", 2, "T-2"), a_fact("R0", 1)))
        await one_waits(linker)
        free = await linker.rows("select recording_id from link where recording_id = 'R8' for update skip locked")
    await folding

    assert [row["recording_id"] for row in free] == ["R8"]
    assert await linker.link("R8") == (2, "T-2")
    assert await linker.unheard() == {"R0": 2}


async def test_what_was_announced_a_moment_ago_is_heard_without_waiting_for_its_link(linker: Linker) -> None:
    await linker.fold(a_recording("R0"), a_recording("R1"))
    await linker.fold(a_request("q-0", recording_id="R0"), a_request("q-1", recording_id="R1"))
    heard = [a_fact(one, 1, request_id=f"q-{one[1]}") for one in ("R0", "R1")]

    async with linker.database.transaction() as holder:
        await holder.execute(text("select from link for update"))
        async with asyncio.timeout(10):
            await linker.fold(*heard)

    assert await linker.unheard() == {}


async def test_a_version_that_came_while_the_one_before_was_heard_is_still_to_be_announced(linker: Linker) -> None:
    await linker.fold(a_recording("R0"))
    await linker.fold(a_request("q-0", recording_id="R0", at=1))

    async with linker.database.transaction() as writer:
        await linker.fold_in(writer, a_request("q-1", "T-2", recording_id="R0", at=2))
        hearing = asyncio.create_task(linker.fold(a_fact("R0", 1, request_id="q-0")))
        await one_waits(linker)
    await hearing

    assert await linker.unheard() == {"R0": 2}
