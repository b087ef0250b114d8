"""The migrations lead to exactly the tables that the code declares, rules included."""

import pytest
from sqlalchemy.exc import IntegrityError

from services.cloud_updater.tables import CloudUpdaterTable
from tests.cloud_updater.given import a_link, a_transfer
from tests.cloud_updater.running import Updater
from tests.same_tables import as_alembic_sees_it, declare, described
from tests.servers import CreateDatabase


async def test_the_migrations_and_the_declared_tables_are_the_same(
    updater_url: str, create_database: CreateDatabase
) -> None:
    declared = await create_database()
    await declare(declared, CloudUpdaterTable.metadata)

    assert await as_alembic_sees_it(updater_url, CloudUpdaterTable.metadata) == []
    assert await described(updater_url) == await described(declared)


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
