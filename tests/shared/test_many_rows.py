"""What every service keeps for ever makes none of its loops slower: dead letters that are settled, the audit record."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import uuid4

import pytest
from sqlalchemy import Index
from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateIndex
from sqlmodel import SQLModel

from schemas.topics import TRANSFER_DLQ
from services.cloud_updater.tables import CloudUpdaterTable
from services.linker.tables import LinkerTable
from services.transfer.tables import TransferTable
from shared import audit, lease, metrics, redrive
from shared.announce_dead_letters import LOT, dead_letter_announcer
from shared.database import Database
from shared.watch import WatchDeadLetters
from tests.counting import counting
from tests.kept import Kept
from tests.shared.things import Things, ThingTable

MANY = 20_000


@pytest.fixture
async def database(things_url: str) -> AsyncIterator[Database]:
    database = Database(things_url)
    yield database
    await database.close()


@pytest.fixture(params=["never analysed", "analysed"])
async def many_dead_letters(request: pytest.FixtureRequest, things: Things) -> None:
    """As many as are to be announced in three lots; all others are published and settled, half of them later."""
    await things.change(f"""
        insert into dead_letter (topic, partition, "offset", content, value, headers, timestamp_ms, reason, error,
            failed_at, published_at, settled_as, settled_at)
        select 'TicketLinked', n % 12, n, '', repeat('v', 500)::bytea, '[]', 0, 'invalid', '',
            timestamptz '2025-01-29 12:00Z' + n * interval '1 s', now(), 'discarded', now()
        from generate_series(1, {MANY}) n
    """)
    if request.param == "analysed":
        await things.change("analyze dead_letter")
    await things.change(f"""
        update dead_letter set published_at = null, settled_as = null, settled_at = null
        where "offset" between {MANY // 2} and {MANY // 2 + 3 * LOT - 1}
    """)


@pytest.mark.usefixtures("many_dead_letters")
async def test_dead_letters_are_announced_without_a_look_at_those_that_are_published(database: Database) -> None:
    kept = Kept()
    announcer = dead_letter_announcer(TRANSFER_DLQ, database, kept)

    async with counting(database) as announcing:
        while await announcer.step() is not None:
            pass
    async with counting(database) as at_rest:
        assert await announcer.step() is None

    assert len(kept.records) == 3 * LOT
    assert announcing.looked_at("dead_letter") <= 8 * LOT
    assert at_rest.looked_at("dead_letter") <= LOT


@pytest.mark.usefixtures("many_dead_letters")
async def test_open_dead_letters_are_counted_without_a_look_at_those_that_are_settled(database: Database) -> None:
    async with counting(database) as counted:
        await WatchDeadLetters(database).step()

    assert metrics.DEAD_LETTERS._value.get() == 3 * LOT
    assert counted.looked_at("dead_letter") <= 4 * LOT


@pytest.mark.usefixtures("many_dead_letters")
async def test_one_dead_letter_is_found_and_settled_by_its_place(database: Database) -> None:
    place = redrive.Place("TicketLinked", (MANY // 2) % 12, MANY // 2)

    async with counting(database) as counted, database.transaction() as connection:
        assert len(await redrive.whole(connection, place)) == 1
        assert await redrive.discard(connection, place, who=None)

    assert counted.looked_at("dead_letter") <= 10


@pytest.mark.parametrize("analysed", [False, True])
async def test_the_audit_record_is_added_to_and_shown_by_the_page(
    things: Things, database: Database, *, analysed: bool
) -> None:
    await things.change(f"""
        insert into audit (time, who, what, subject, detail)
        select timestamptz '2025-01-29 12:00Z' + n * interval '1 s', 'ann', 'lane_paused', 'F' || n % 100, '{{}}'
        from generate_series(1, {MANY}) n order by md5(n::text)
    """)
    if analysed:
        await things.change("analyze audit")

    async with counting(database) as counted, database.transaction() as connection:
        await audit.record(connection, who="ann", what="lane_paused", subject="F7", detail={})
        page, _ = await audit.recorded(connection, audit.Wanted(limit=10))
        of_one, _ = await audit.recorded(connection, audit.Wanted(subject="F7", limit=10))

    assert [one.time.date() for one in page[1:]] == [datetime(2025, 1, 29, tzinfo=UTC).date()] * 9
    assert [one.subject for one in of_one] == ["F7"] * 10
    assert counted.looked_at("audit") <= 400


async def test_a_lease_is_taken_and_given_back_by_its_name(things: Things, database: Database) -> None:
    await things.change(f"""
        insert into lease select 'lease-' || n, gen_random_uuid(), now() from generate_series(1, {MANY}) n
    """)
    token = uuid4()

    async with counting(database) as counted, database.transaction() as connection:
        assert await lease.take(connection, "lease-1", token, seconds=5)
        await lease.give_back(connection, "lease-1", token)

    assert counted.looked_at("lease") <= 10


@pytest.mark.parametrize("service", [LinkerTable, TransferTable, CloudUpdaterTable])
def test_every_service_has_the_indexes_that_these_are_found_by(service: type[SQLModel]) -> None:
    """That its migrations make what its tables say, its own tests hold."""
    of_things, of_service = (one.metadata.tables for one in (ThingTable, service))

    for table in ("dead_letter", "audit"):
        assert {described(one) for one in of_service[table].indexes} == {
            described(one) for one in of_things[table].indexes
        }


def described(index: Index) -> str:
    return str(CreateIndex(index).compile(dialect=postgresql.dialect()))  # type: ignore[no-untyped-call]
