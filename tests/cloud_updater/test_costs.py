"""What a link costs in counts that no machine changes, held to ceilings; and that more rows do not make it cost more.

A ceiling is what the work takes now and some room; whoever needs more has to say so here.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text

from services.cloud_updater.announce_updates import next_lot
from services.cloud_updater.claims import MAX_BYTES, MAX_REQUESTS, Claims
from services.cloud_updater.decisions import MAX_FILES
from tests.cloud_updater.given import a_link, a_transfer
from tests.cloud_updater.running import Updater, requests, running_updater, transferred
from tests.counting import counting
from tests.emulator.running import Emulator
from tests.sent import Sent, sent_to

pytestmark = pytest.mark.servers

FOLDERS, FILES = 4, 250
LINKS = FOLDERS * FILES


@pytest.fixture
async def updater(updater_url: str, cloud: Emulator) -> AsyncIterator[Updater]:
    cloud.control("PUT", "capabilities", {"capabilities": ("ticket-info", "link-version")})
    async with running_updater(updater_url, cloud) as service:
        yield service


async def test_a_thousand_links_cost_no_more_than_this(updater: Updater, cloud: Emulator) -> None:
    names = await _folders(updater, cloud)
    before = requests(cloud)

    async with counting(updater.database) as folding:
        await updater.fold(*(a_link(one, source="import") for one in names))
    async with counting(updater.database) as pushing:
        await updater.push()
    async with counting(updater.database) as announcing:
        heard = await updater.hear()

    assert requests(cloud) - before == FOLDERS  # one per folder, as long as it has not more than 500 files
    assert len(heard) == LINKS  # one record each
    assert folding.statements <= 6  # new rows are made before any is locked, or two batches wait for each other
    assert pushing.statements <= 2 * FOLDERS + 6  # the only ones that grow with anything, and that is folders
    assert announcing.statements <= 10
    assert folding.written <= LINKS + 2 * FOLDERS
    assert pushing.written <= 3 * FOLDERS  # no row per link
    assert announcing.written <= 2 * FOLDERS
    if folding.wal_bytes is not None:
        assert folding.wal_bytes <= 800 * LINKS
        assert (pushing.wal_bytes or 0) + (announcing.wal_bytes or 0) <= 40 * LINKS


async def test_workers_that_are_free_together_claim_in_one_transaction(updater: Updater, cloud: Emulator) -> None:
    names = await _folders(updater, cloud)
    await updater.fold(*(a_link(one, source="import") for one in names))
    before = requests(cloud)

    async with counting(updater.database) as pushing:
        await asyncio.gather(*(updater.pushing.step() for _ in range(FOLDERS)))

    assert requests(cloud) - before == FOLDERS
    assert pushing.statements <= 4 + 2 * FOLDERS  # one claim for all, and at worst an outcome for each


async def test_known_facts_are_read_again_without_a_write(updater: Updater, cloud: Emulator) -> None:
    names = await _folders(updater, cloud)
    links = [a_link(one, source="import") for one in names]
    await updater.fold(*links)
    await updater.push_and_hear()
    before = requests(cloud)

    async with counting(updater.database) as again:
        await updater.fold(*links)
        await updater.push()

    assert again.written == 0
    assert again.statements <= 10
    assert requests(cloud) == before


async def test_many_rows_are_never_passed_over(updater: Updater, cloud: Emulator) -> None:
    """Plans that were made while the tables were empty included: they are of the same connections."""
    fresh = (f"{number}" for number in count())
    work = _work(updater, cloud, fresh)
    for _ in range(6):  # PostgreSQL keeps a plan from the sixth time on
        await work()
    await _grow(updater, recordings=20_000)

    async with counting(updater.database) as counted:
        await work()

    assert {table: rows for table, rows in counted.passed_over.items() if rows > 100} == {}
    assert {table: rows for table, rows in counted.looked_up.items() if rows > 100} == {}


async def test_links_are_never_compared_with_each_folder_of_their_batch(updater: Updater) -> None:
    """Of a large table PostgreSQL expects hardly any row to be meant, and to compare a few with a few needs no hash."""
    await _grow(updater, recordings=20_000)
    await updater.change("analyze recording")
    meant = [(folder, f"grown-{folder}-{number}") for folder in range(1, 11) for number in range(1, 11)]
    links = [a_link(recording_id, 2) for _, recording_id in meant]
    transfers = [a_transfer(recording_id, 2, uuid=f"grown-{folder}") for folder, recording_id in meant]

    for facts in (links, transfers):
        with sent_to(updater.database) as sent:
            await updater.fold(*facts)
        plans = [plan for statement in sent if "numbered" in statement.text for plan in await _plan(updater, statement)]

        assert plans  # of the statement that takes seqs
        assert [one["Join Filter"] for one in plans if "clouds_uuid" in one.get("Join Filter", "")] == []


async def test_a_request_and_what_is_announced_cost_no_more_the_more_a_folder_owes(updater: Updater) -> None:
    """PostgreSQL takes all of it for some rows, of which to read and sort all seems cheaper than to follow an index."""
    await _owe(updater, recordings=30_000)
    lot = 1_000

    async with counting(updater.database) as claiming, updater.database.transaction(keep=False) as connection:
        [claimed] = await Claims(connection).claim(uuid4(), lease_s=45, with_versions=True, requests=MAX_REQUESTS)
    await updater.change("update ledger set cursor = last_seq, pushed_at = now()")
    async with counting(updater.database) as announcing, updater.database.transaction(keep=False) as connection:
        announced = await next_lot(connection, limit=lot)

    assert [len(one.files) for one in (claimed, *claimed.then)] == [MAX_FILES] * MAX_REQUESTS
    assert claiming.looked_up["recording"] <= 2 * MAX_FILES * MAX_REQUESTS
    assert announced
    assert len(announced.records) == lot
    assert announcing.looked_up["recording"] <= 2 * lot
    assert claiming.passed_over["recording"] == announcing.passed_over["recording"] == 0


async def test_files_that_do_not_fit_into_a_request_are_not_read(updater: Updater) -> None:
    """Of a folder of large ones each claim would read thousands to send a few."""
    names = [f"R{number}" for number in range(100)]
    await updater.fold(*(a_transfer(name) for name in names))
    await updater.fold(*(a_link(name) for name in names))
    await updater.change("""
        update file set body = '{"transcribe":"' || words || '"}' from (
            select recording_id, string_agg(md5(recording_id || number), '') as words
            from file, generate_series(1, 3200) as number group by recording_id) f
        where file.recording_id = f.recording_id
    """)

    async with updater.database.transaction(keep=False) as connection:
        [claimed] = await Claims(connection).claim(uuid4(), lease_s=45, with_versions=True)
        read = await connection.scalar(
            text("""
                select idx_tup_fetch from pg_stat_xact_all_tables
                where relid = (select reltoastrelid from pg_class where relname = 'file')
            """)
        )

    pieces_of_a_file = 102_400 // 1_900
    assert len(claimed.files) == MAX_BYTES // 102_700
    assert read <= len(claimed.files) * pieces_of_a_file


async def test_dead_rows_are_taken_away_early(updater: Updater) -> None:
    """Of a large table PostgreSQL would let a fifth be dead."""
    rows = await updater.rows("select relname, reloptions from pg_class where relname in ('recording', 'ledger')")

    assert len(rows) == 2
    for row in rows:
        assert "autovacuum_vacuum_scale_factor=0.02" in row["reloptions"]
        assert "autovacuum_analyze_scale_factor=0.02" in row["reloptions"]


async def test_a_claim_never_takes_more_than_it_was_asked_for(updater: Updater, cloud: Emulator) -> None:
    """Whatever the plan: one that runs the limited part once for each row would find other folders each time."""
    for folder in range(10):
        await transferred(updater, cloud, f"R{folder}", folder_id=f"F{folder}")
    await updater.fold(*(a_link(f"R{folder}") for folder in range(10)))

    async with updater.database.transaction() as connection:
        for join in ("hashjoin", "mergejoin", "material"):
            await connection.exec_driver_sql(f"set local enable_{join} = off")
        claimed = await Claims(connection).claim(uuid4(), lease_s=45, with_versions=True, limit=3)

    assert len(claimed) == 3


async def _folders(updater: Updater, cloud: Emulator) -> list[str]:
    names = [[f"F{folder}-R{number}" for number in range(FILES)] for folder in range(FOLDERS)]
    for folder, of_folder in enumerate(names):
        await transferred(updater, cloud, *of_folder, folder_id=f"F{folder}")
    return [one for of_folder in names for one in of_folder]


def _work(updater: Updater, cloud: Emulator, fresh: AsyncIterator[str] | object) -> Callable[[], Awaitable[None]]:
    """Everything that the folds and loops do."""

    async def work() -> None:
        number = next(fresh)  # type: ignore[call-overload]
        await transferred(updater, cloud, f"new-{number}", folder_id=f"new-{number}")
        link = a_link(f"new-{number}")
        for _ in range(2):
            await updater.fold(link)
            await updater.push_and_hear()
        await updater.again.step()

    return work


async def _grow(updater: Updater, *, recordings: int) -> None:
    """So many recordings more, in folders of 10, in sync. Only the table of folders has been analysed since."""
    folders = {"folders": recordings // 10}
    await updater.change(
        """
        insert into ledger (clouds_uuid, folder_id, last_seq, cursor, announced_cursor, forced_until, generation,
                            attempts, missing)
        select 'grown-' || n, 'grown-' || n, 10, 10, 10, 0, 0, 0, false from generate_series(1, :folders) n
        """,
        **folders,
    )
    await updater.change(
        """
        insert into recording (recording_id, folder_id, clouds_uuid, transfer_version, link_version,
                               known_transfer_version, known_link_version, ticket, seq, forced)
        select clouds_uuid || '-' || n, folder_id, clouds_uuid, 1, 1, 1, 1, '{"ticket_id":"T"}', n, false
        from ledger, generate_series(1, 10) n where clouds_uuid like 'grown-%'
        """
    )
    await updater.change(
        "insert into file select recording_id, :body from recording where recording_id like 'grown-%'",
        body='{"filename":"x"}',
    )
    await updater.change("analyze ledger")


async def _owe(updater: Updater, *, recordings: int) -> None:
    """One folder in which so many links are to be pushed, and as many recordings in a hundred others, all mixed."""
    await updater.change(
        """
        insert into ledger (clouds_uuid, folder_id, last_seq, cursor, announced_cursor, forced_until, generation,
                            attempts, missing, due_at)
        values ('large', 'large', :last_seq, 0, 0, 0, 0, 0, false, now())
        """,
        last_seq=recordings,
    )
    await updater.change(
        """
        insert into recording (recording_id, folder_id, clouds_uuid, transfer_version, link_version,
                               known_transfer_version, known_link_version, ticket, seq, forced)
        select folder || '-' || n, folder, folder, 1, 1, 1, 0, '{"ticket_id":"T"}', n, false
        from generate_series(1, :recordings) n, lateral (values ('large'), ('small-' || n % 100)) as f (folder)
        order by md5(folder || n)
        """,
        recordings=recordings,
    )
    await updater.change("insert into file select recording_id, :body from recording", body='{"filename":"x"}')


async def _plan(updater: Updater, statement: Sent) -> list[dict[str, Any]]:
    """All nodes of the plan for it."""
    async with updater.database.transaction() as connection:
        explained = await connection.exec_driver_sql(f"explain (format json) {statement.text}", statement.parameters)
        [plan] = explained.scalar_one()
    nodes = [plan["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", [])
    return nodes
