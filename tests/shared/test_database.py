"""The database of a service: what may be tried again, what never fits, and who wakes whom."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from shared.database import Database, broken_rule, is_refused, is_transient, notify
from shared.migrations import require_current
from shared.settings import ConfigurationError


@pytest.fixture
async def database(things_url: str) -> AsyncIterator[Database]:
    database = Database(things_url, pool_size=5)
    yield database
    await database.close()


async def _error(database: Database, *statements: str) -> BaseException:
    async def run() -> None:
        async with database.transaction() as connection:
            for statement in statements:
                await connection.exec_driver_sql(statement)

    with pytest.raises(DBAPIError) as raised:
        await run()
    return raised.value


@pytest.mark.parametrize(
    ("statement", "transient", "refused"),
    [
        ("insert into thing values ('R1', 666, 0)", False, True),
        ("insert into thing values (null, 1, 0)", False, True),
        ("insert into thing values ('R1', 99999999999, 0)", False, True),
        ("select 'a' || chr(0)", False, True),
        ("insert into thing values ('R1', 1, 0), ('R1', 1, 0)", True, False),
        ("select pg_terminate_backend(pg_backend_pid())", True, False),
        ("select * from no_such_table", False, False),
        ("select 1 / 0", False, True),
    ],
)
async def test_errors_are_of_three_kinds(database: Database, statement: str, *, transient: bool, refused: bool) -> None:
    error = await _error(database, statement)

    assert (is_transient(error), is_refused(error)) == (transient, refused)


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("insert into thing values ('canary', 666, 0)", "rule thing_version_check of table thing"),
        ("insert into thing values ('canary', null, 0)", "column version of table thing must not be empty"),
        ("insert into thing values ('canary', 99999999999, 0)", "numeric value out of range"),
        ("select 'canary'::date", "invalid datetime format"),
    ],
)
async def test_the_rule_that_values_break_is_named_and_no_value(database: Database, statement: str, rule: str) -> None:
    error = await _error(database, statement)

    assert isinstance(error, DBAPIError)
    assert broken_rule(error) == rule


async def test_a_database_that_takes_no_connections_for_now_may_take_them_again(
    database: Database, postgres_url: str
) -> None:
    holding_off = await asyncpg.connect(postgres_url)
    await holding_off.execute(f"alter database {database.url.database} allow_connections false")

    elsewhere = Database(database.url.render_as_string(hide_password=False))
    with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever the driver makes of it
        async with elsewhere.transaction():
            pass
    await elsewhere.close()
    await holding_off.execute(f"alter database {database.url.database} allow_connections true")
    await holding_off.close()

    assert is_transient(raised.value)


async def test_a_connection_that_was_cut_between_two_steps_of_a_statement_may_be_made_anew(database: Database) -> None:
    with pytest.raises(ConnectionResetError) as raised:
        async with database.transaction():
            raise asyncpg.InternalClientError("cannot switch to state 11; another operation is in progress")

    assert is_transient(raised.value)


async def test_a_process_that_stands_still_in_a_transaction_does_not_keep_its_locks(database: Database) -> None:
    async def stand_still() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("insert into thing values ('R1', 1, 0)"))
            await connection.execute(text("set local idle_in_transaction_session_timeout = '50ms'"))
            async with database.transaction() as another:  # it waits for the row
                await another.execute(text("insert into thing values ('R1', 2, 0)"))
            await connection.execute(text("select 1"))

    async with database.transaction() as connection:
        limit = await connection.scalar(text("show idle_in_transaction_session_timeout"))
    with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever the driver makes of it
        await stand_still()

    assert limit == "30s"  # less than the longest that a statement waits
    assert is_transient(raised.value)
    async with database.transaction() as connection:
        assert await connection.scalar(text("select count(*) from thing")) == 1


async def test_a_database_that_was_dropped_may_come_back(database: Database) -> None:
    elsewhere = Database(str(database.url.set(database="no_such_database").render_as_string(hide_password=False)))

    with pytest.raises(Exception) as raised:  # noqa: PT011  # whatever the driver makes of it
        async with elsewhere.transaction():
            pass
    await elsewhere.close()

    assert is_transient(raised.value)


async def test_an_error_does_not_quote_what_was_to_be_stored(database: Database) -> None:
    async def store() -> None:
        async with database.transaction() as connection:
            await connection.execute(text("insert into thing values (:id, 666, 0)"), {"id": "Jane Doe"})

    with pytest.raises(DBAPIError) as raised:
        await store()

    assert "Jane" not in str(raised.value)


async def test_whoever_listens_is_woken_once_the_transaction_is_committed(database: Database) -> None:
    woken: list[str] = []
    listening = asyncio.create_task(database.listen(woken.append))
    async with asyncio.timeout(5):
        while not database.listens:  # noqa: ASYNC110  # the listener is another session
            await asyncio.sleep(0.02)

    async with database.transaction() as connection:
        await notify(connection, ["push", "announce", "push"])
        await asyncio.sleep(0.1)
        before = list(woken)
    async with asyncio.timeout(5):
        while len(woken) < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    listening.cancel()

    assert before == []
    assert sorted(woken) == ["announce", "push"]


async def test_a_process_is_alone_once_the_others_have_died(things_url: str) -> None:
    first, second, third = (Database(things_url, pool_size=1) for _ in range(3))

    alone = [await _frees(first), await _frees(second)]
    await second.close()
    await first.close()
    alone.append(await _frees(third))
    await third.close()

    assert alone == [True, False, True]


async def test_who_is_there_is_seen_without_a_gap_until_it_listens_no_more(things_url: str) -> None:
    first, second, third = (Database(things_url, pool_size=1) for _ in range(3))
    await first.arrive(_nothing)
    listening = asyncio.create_task(first.listen(lambda _: None))
    async with asyncio.timeout(5):
        while not first.listens:  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    beside_it = await _frees(second)
    await second.close()
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    after_it = await _frees(third)
    await first.close()
    await third.close()

    assert (beside_it, after_it) == (False, True)


async def test_of_two_that_start_at_once_one_is_alone_and_the_other_waits_for_it(things_url: str) -> None:
    """Else both would be, and the second would end what the first has leased already."""
    first, second = (Database(things_url, pool_size=1) for _ in range(2))
    freeing, go_on = asyncio.Event(), asyncio.Event()
    freed: list[str] = []

    async def free() -> None:
        freed.append("first")
        freeing.set()
        await go_on.wait()

    async def free_too() -> None:
        freed.append("second")

    arriving = asyncio.create_task(first.arrive(free))
    await asyncio.wait_for(freeing.wait(), 5)
    coming = asyncio.create_task(second.arrive(free_too))
    ended_before, _ = await asyncio.wait([coming], timeout=0.3)
    go_on.set()
    await asyncio.wait_for(asyncio.gather(arriving, coming), 5)
    await first.close()
    await second.close()

    assert not ended_before
    assert freed == ["first"]


async def test_a_listener_comes_back_after_its_connection_was_lost(database: Database) -> None:
    woken: list[str] = []
    listening = asyncio.create_task(database.listen(woken.append))
    async with asyncio.timeout(10):
        while not database.listens:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        async with database.transaction() as connection:
            await connection.exec_driver_sql(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        while not woken:
            await asyncio.sleep(0.1)
            async with database.transaction() as connection:
                await notify(connection, ["again"])
    listening.cancel()

    assert set(woken) == {"again"}


def test_an_unmigrated_database_is_a_wrong_configuration(things_url: str) -> None:
    with pytest.raises(ConfigurationError, match="CLOUD_UPDATER_DATABASE_URL: the database is empty"):
        require_current("cloud_updater", things_url)


async def _frees(database: Database) -> bool:
    """Whether it thinks that it is alone as it arrives."""
    freed: list[bool] = []

    async def free() -> None:
        freed.append(True)

    await database.arrive(free)
    return bool(freed)


async def _nothing() -> None:
    return
