"""The migrations lead to exactly the tables that the code declares."""

import asyncio

import asyncpg
from sqlalchemy.ext.asyncio import create_async_engine

from services.linker.tables_imports import Import
from shared import migrations
from tests.servers import CreateDatabase

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


async def described(database_url: str) -> list[list[tuple[object, ...]]]:
    connection = await asyncpg.connect(database_url.replace("+asyncpg", ""))
    try:
        return [[tuple(row) for row in await connection.fetch(sql)] for sql in (TABLES, INDEXES, CONSTRAINTS)]
    finally:
        await connection.close()


async def test_the_migrations_and_the_declared_tables_are_the_same(create_database: CreateDatabase) -> None:
    migrated, declared = await create_database(), await create_database()
    await asyncio.to_thread(migrations.upgrade, "linker", migrated)
    engine = create_async_engine(declared)
    async with engine.begin() as connection:
        await connection.run_sync(Import.metadata.create_all)
    await engine.dispose()

    tables, indexes, constraints = await described(migrated)
    assert [tables, indexes, constraints] == await described(declared)
    assert len(tables) > 50
