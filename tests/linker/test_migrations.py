"""The migrations lead to exactly the tables that the code declares."""

import asyncio

from services.linker.tables_imports import Import
from shared import migrations
from tests.same_tables import declare, described
from tests.servers import CreateDatabase


async def test_the_migrations_and_the_declared_tables_are_the_same(create_database: CreateDatabase) -> None:
    migrated, declared = await create_database(), await create_database()
    await asyncio.to_thread(migrations.upgrade, "linker", migrated)
    await declare(declared, Import.metadata)

    tables, indexes, constraints = await described(migrated)
    assert [tables, indexes, constraints] == await described(declared)
    assert len(tables) > 50
