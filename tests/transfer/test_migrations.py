"""The migrations lead to exactly the tables that the code declares, rules and indexes included."""

from services.transfer.tables import TransferTable
from tests.same_tables import as_alembic_sees_it, declare, described
from tests.servers import CreateDatabase
from tests.transfer.running import migrated


async def test_the_migrations_and_the_declared_tables_are_the_same(create_database: CreateDatabase) -> None:
    of_migrations, declared = await migrated(await create_database()), await create_database()
    await declare(declared, TransferTable.metadata)

    assert await as_alembic_sees_it(of_migrations, TransferTable.metadata) == []
    assert await described(of_migrations) == await described(declared)
