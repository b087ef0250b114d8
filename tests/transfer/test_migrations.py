"""The migrations lead to exactly the tables that the code declares, rules and indexes included."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.transfer.tables import TransferTable
from tests.servers import CreateDatabase
from tests.transfer.running import migrated

_RULES = """
    select conrelid::regclass::text || ' ' || pg_get_constraintdef(oid) from pg_constraint
    where connamespace = 'public'::regnamespace and conrelid::regclass::text <> 'alembic_version' order by 1
"""
_INDEXES = "select indexdef from pg_indexes where schemaname = 'public' and tablename <> 'alembic_version' order by 1"


async def test_the_migrations_and_the_declared_tables_are_the_same(create_database: CreateDatabase) -> None:
    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, TransferTable.metadata))

    def details(connection: Connection) -> list[str]:
        return [row[0] for query in (_RULES, _INDEXES) for row in connection.execute(text(query))]

    of_migrations = create_async_engine(await migrated(await create_database()))
    declared = create_async_engine(await create_database())
    async with of_migrations.connect() as one, declared.begin() as other:
        await other.run_sync(TransferTable.metadata.create_all)

        assert await one.run_sync(differences) == []
        assert await one.run_sync(details) == await other.run_sync(details)
    await of_migrations.dispose()
    await declared.dispose()
