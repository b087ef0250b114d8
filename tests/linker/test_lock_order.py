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
    """R8 is news, R0 is only heard; somebody who has R0 and comes for R8 must not meet a fold that has R8 alone."""
    await linker.fold(a_fact("R8", 1))
    await linker.fold(a_recording("R0"))
    await linker.fold(a_request("q-1", recording_id="R0", at=1))

    async with linker.database.transaction() as holder:
        await holder.execute(text("select from link where recording_id = 'R0' for update"))
        folding = asyncio.create_task(linker.fold(a_fact("R8", 2, "T-2"), a_fact("R0", 1)))
        await one_waits(linker)
        free = await linker.rows("select recording_id from link where recording_id = 'R8' for update skip locked")
    await folding

    assert [row["recording_id"] for row in free] == ["R8"]
    assert await linker.link("R8") == (2, "T-2")
    assert await linker.unheard() == {}
