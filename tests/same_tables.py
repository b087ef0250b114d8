"""Whether a service's migrations lead to exactly the tables that its code declares, rules and indexes included."""

import asyncpg
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, MetaData
from sqlalchemy.ext.asyncio import create_async_engine

# Everything that a database says about itself; Alembic's own comparison cannot tell generated columns apart.
TABLES = """
    select table_name, column_name, data_type, is_nullable, column_default, is_identity, generation_expression
    from information_schema.columns where table_schema = 'public' and table_name <> 'alembic_version' order by 1, 2
"""
INDEXES = "select indexdef from pg_indexes where schemaname = 'public' and tablename <> 'alembic_version' order by 1"
CONSTRAINTS = """
    select conrelid::regclass::text, conname, pg_get_constraintdef(oid) from pg_constraint
    where connamespace = 'public'::regnamespace and conrelid::regclass::text <> 'alembic_version' order by 1, 2
"""


async def declare(database_url: str, tables: MetaData) -> None:
    """Make the tables as the code declares them."""
    engine = create_async_engine(database_url)
    async with engine.begin() as connection:
        await connection.run_sync(tables.create_all)
    await engine.dispose()


async def described(database_url: str) -> list[list[tuple[object, ...]]]:
    """Columns, indexes and constraints."""
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        return [[tuple(row) for row in await connection.fetch(sql)] for sql in (TABLES, INDEXES, CONSTRAINTS)]
    finally:
        await connection.close()


async def as_alembic_sees_it(database_url: str, tables: MetaData) -> list[object]:
    """What a migration would have to change to lead to these tables."""

    def differences(connection: Connection) -> list[object]:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        return list(compare_metadata(context, tables))

    engine = create_async_engine(database_url)
    async with engine.connect() as connection:
        found = await connection.run_sync(differences)
    await engine.dispose()
    return found
