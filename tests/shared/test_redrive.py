"""A redrive applies a dead letter's own bytes once that is possible; whatever is settled stays as a row."""

from collections.abc import AsyncIterator, Sequence

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from schemas.raw_headers import joined
from shared import dead_letters, redrive
from shared.batch import Apply, Folded, fold_records
from shared.database import Database
from shared.reading import Incoming, read
from shared.record import Record
from shared.redrive import Applied, NotOpen, Place, Redriven, StillDead, Wanted
from tests.shared.things import a_record, a_topic, fold_things

TOPIC = a_topic()
PLACE = Place(TOPIC.name, 1, 7)
# A name that is no UTF-8, as the consumer gives it, and a header without a value.
ODD_HEADERS = [("x-\udcff", b"\xfe"), ("x-none", None)]
UNSTORABLE = 666


@pytest.fixture
async def database(things_url: str) -> AsyncIterator[Database]:
    database = Database(things_url, pool_size=4)
    yield database
    await database.close()


def a_letter(version: int, *, value: bytes | None = None) -> Record:
    sent = a_record(TOPIC, "R1", version)
    body = sent.value if value is None else value
    return Record(TOPIC.name, 1, 7, 1_738_152_000_000, sent.key, body, joined([*sent.headers, *ODD_HEADERS]))


async def fold(database: Database, record: Record, apply: Apply = fold_things) -> Folded:
    async with database.transaction() as connection:
        return await fold_records(connection, await read(TOPIC, [record], skimmed=False), apply=apply)


async def again(database: Database, apply: Apply = fold_things, *, keep: bool = True) -> Redriven:
    async with database.transaction(keep=keep) as connection:
        return await redrive.redrive(connection, PLACE, topic=TOPIC, apply=apply, who="ann")


async def seen(database: Database, *, settled: bool = False) -> list[redrive.Seen]:
    async with database.transaction() as connection:
        return await redrive.seen(connection, Wanted(settled=settled))


async def count(database: Database) -> int:
    async with database.transaction() as connection:
        return await dead_letters.count(connection)


async def test_it_is_applied_as_it_came_once_the_cause_is_gone(database: Database) -> None:
    record = a_letter(UNSTORABLE)
    came: list[Incoming[TicketLinked]] = []
    await fold(database, record)

    async def mended(batch: Sequence[Incoming[TicketLinked]], _: AsyncConnection) -> Folded:
        came.extend(batch)
        return Folded(newer=1, wake=("announce",))

    still = await again(database)
    tried = await again(database, mended, keep=False)
    left = await count(database)
    done = await again(database, mended)
    twice = await again(database, mended)

    assert still == StillDead(
        "unstorable", "PostgreSQL refuses the values: rule thing_version_check of table thing (23514)"
    )
    assert isinstance(tried, Applied)
    assert left == 1
    assert isinstance(done, Applied)
    assert done.newer
    assert isinstance(twice, NotOpen)
    again_came = came[-1].record
    assert (again_came.key, again_came.value, again_came.headers) == (record.key, record.value, record.headers)
    assert (again_came.timestamp, again_came.partition, again_came.offset) == (record.timestamp, 1, 7)
    assert await count(database) == 0
    assert [(one.settled_as, one.settled_by) for one in await seen(database, settled=True)] == [("redriven", "ann")]


async def test_what_was_redriven_and_cannot_be_applied_any_more_counts_again(database: Database) -> None:
    await fold(database, a_letter(UNSTORABLE))

    async def mended(_: Sequence[Incoming[TicketLinked]], __: AsyncConnection) -> Folded:
        return Folded()

    assert isinstance(await again(database, mended), Applied)
    folded = await fold(database, a_letter(UNSTORABLE))

    assert folded.put_aside == 1
    assert await count(database) == 1


async def test_what_was_discarded_stays_so_when_it_is_read_again(database: Database) -> None:
    await fold(database, a_letter(1, value=b"{"))
    async with database.transaction() as connection:
        assert await redrive.discard(connection, PLACE, who=None)
        assert not await redrive.discard(connection, PLACE, who=None)

    folded = await fold(database, a_letter(1, value=b"{"))

    assert (folded.put_aside, await count(database)) == (0, 0)
    assert await seen(database) == []
    [one] = await seen(database, settled=True)
    assert (one.settled_as, one.settled_by, one.size_bytes) == ("discarded", None, 1)


async def test_lists_go_on_after_a_place(database: Database) -> None:
    for offset in (7, 8, 9):
        await fold(database, a_letter(1, value=b"{")._replace(offset=offset))

    async with database.transaction() as connection:
        first = await redrive.seen(connection, Wanted(topic=TOPIC.name, reason="malformed_json", limit=2))
        last = first[-1]
        rest = await redrive.seen(
            connection, Wanted(after=(last.topic, last.partition, last.offset, last.content), limit=2)
        )
        other = await redrive.seen(connection, Wanted(reason="unstorable"))
        of_the_key = await redrive.seen(connection, Wanted(key="R1"))
        of_another = await redrive.seen(connection, Wanted(key="another"))

    assert [one.offset for one in (*first, *rest)] == [7, 8, 9]
    assert other == of_another == []
    assert [one.offset for one in of_the_key] == [7, 8, 9]
