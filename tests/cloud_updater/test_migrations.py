"""The migrations lead to exactly the tables that the code declares, rules included."""

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

from services.cloud_updater.tables import CloudUpdaterTable
from tests.cloud_updater.given import a_link, a_transfer
from tests.cloud_updater.running import Updater
from tests.servers import CreateDatabase

_RULES = """
    select conrelid::regclass::text || ' ' || pg_get_constraintdef(oid) from pg_constraint
    where connamespace = 'public'::regnamespace and conrelid::regclass::text <> 'alembic_version' order by 1
"""
_INDEXES = "select indexdef from pg_indexes where schemaname = 'public' and tablename <> 'alembic_version' order by 1"


async def test_the_migrations_and_the_declared_tables_are_the_same(
    updater_url: str, create_database: CreateDatabase
) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, CloudUpdaterTable.metadata))

    def details(connection: Connection) -> list[str]:
        return [row[0] for query in (_RULES, _INDEXES) for row in connection.execute(text(query))]

    migrated, declared = create_async_engine(updater_url), create_async_engine(await create_database())
    async with migrated.connect() as one, declared.begin() as other:
        await other.run_sync(CloudUpdaterTable.metadata.create_all)

        assert await one.run_sync(differences) == []
        assert await one.run_sync(details) == await other.run_sync(details)
    await migrated.dispose()
    await declared.dispose()


@pytest.mark.parametrize(
    "wrong",
    [
        "update recording set clouds_uuid = null",
        "update recording set transfer_version = 0",
        "update recording set link_version = -1",
        "update ledger set cursor = last_seq + 1",
        "update ledger set announced_cursor = cursor + 1",
        "update ledger set forced_until = last_seq + 1",
        "update ledger set lease_until = now(), lease_token = null",
        "update ledger set batch_limit = 0",
        "update lane set reason = 'tired'",
        "insert into lane (one, failures) values (false, 0)",
        "update file set body = '[]'",
        "update recording set ticket = ''",
        "insert into position values ('TicketLinked', 0, -1)",
    ],
)
async def test_a_state_that_makes_no_sense_cannot_be_stored(updater: Updater, wrong: str) -> None:
    await updater.fold(a_transfer())
    await updater.fold(a_link())

    with pytest.raises(IntegrityError):
        await updater.change(wrong)
