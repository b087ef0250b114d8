"""Audit records on genuine PostgreSQL, and the header that says who asks."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from schemas.audited import Audited
from shared import audit
from shared.cursors import UnknownCursor, cursor_of
from shared.database import Database
from shared.requested_by import RequestedBy
from tests.shared.things import NOON


@pytest.fixture
async def database(things_url: str) -> AsyncIterator[Database]:
    database = Database(things_url)
    yield database
    await database.close()


async def done(
    database: Database, what: Audited, *, who: str | None = "ann", subject: str = "S", hours: int = 0
) -> None:
    """A record as of so many hours after noon."""
    async with database.transaction() as connection:
        await audit.record(connection, who=who, what=what, subject=subject, detail={"n": hours})
        at = NOON + timedelta(hours=hours)
        await connection.execute(text("update audit set time = :at where what = :what"), {"at": at, "what": what})


async def listed(database: Database, **wanted: object) -> list[str]:
    async with database.transaction() as connection:
        found, _ = await audit.recorded(connection, audit.Wanted(**wanted))  # type: ignore[arg-type]  # by name
    return [one.what for one in found]


async def test_records_come_the_newest_first_and_in_pages(database: Database) -> None:
    in_turn: list[Audited] = ["linked", "unlinked", "lane_paused", "lane_resumed", "import_accepted"]
    for hours, what in enumerate(in_turn):
        await done(database, what, hours=hours // 2)
    pages: list[list[str]] = []
    cursor: str | None = ""
    while cursor is not None:
        async with database.transaction() as connection:
            found, cursor = await audit.recorded(connection, audit.Wanted(limit=2, cursor=cursor))
        pages.append([one.what for one in found])

    assert pages == [["import_accepted", "lane_resumed"], ["lane_paused", "unlinked"], ["linked"]]


async def test_all_conditions_have_to_be_met(database: Database) -> None:
    await done(database, "linked", who="ann", subject="S")
    await done(database, "unlinked", who="bob", subject="S", hours=1)
    await done(database, "lane_paused", who=None, subject="T", hours=2)

    assert await listed(database) == ["lane_paused", "unlinked", "linked"]
    assert await listed(database, who="ann") == ["linked"]
    assert await listed(database, what="lane_paused") == ["lane_paused"]
    assert await listed(database, subject="S") == ["unlinked", "linked"]
    assert await listed(database, subject="S", since=NOON + timedelta(hours=1)) == ["unlinked"]
    assert await listed(database, who="ann", subject="T") == []


async def test_a_record_stands_or_falls_with_its_transaction(database: Database) -> None:
    async def fail() -> None:
        async with database.transaction() as connection:
            await audit.record(connection, who="ann", what="linked", subject="S", detail={})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()

    assert await listed(database) == []


@pytest.mark.parametrize(
    "place", [["2025-01-29T12:00:00", "1"], ["never", "1"], ["2025-01-29T12:00:00+00:00", "x"], ["1"]]
)
async def test_a_cursor_that_no_list_has_given_is_refused(database: Database, place: list[str]) -> None:
    with pytest.raises(UnknownCursor):
        await listed(database, cursor=cursor_of("audit", place))


async def name_read(value: bytes | None) -> httpx.Response:
    app = FastAPI()

    @app.post("/")
    async def echo(who: RequestedBy = None) -> str | None:
        return who

    headers = [] if value is None else [(b"X-Requested-By", value)]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        return await client.post("/", headers=headers)


@pytest.mark.parametrize("name", ["ann", "Jürgen Groß", "王", "a" * 255])
async def test_a_name_is_read_as_utf8(name: str) -> None:
    assert (await name_read(name.encode())).json() == name


async def test_a_caller_need_not_say_who_asks() -> None:
    assert (await name_read(None)).json() is None


@pytest.mark.parametrize("value", [b"", b"a" * 256, b"J\xfcrgen", b"a\tb", "a\x85b".encode()])
async def test_what_cannot_be_a_name_is_refused(value: bytes) -> None:
    assert (await name_read(value)).status_code == 422


async def test_the_time_is_the_databases(database: Database) -> None:
    async with database.transaction() as connection:
        await audit.record(connection, who="ann", what="linked", subject="S", detail={})
        [one], _ = await audit.recorded(connection, audit.Wanted())

    assert abs(datetime.now(UTC) - one.time) < timedelta(minutes=1)
    assert one.detail == {}
