"""A service whose database does not answer says so, and is ready again by itself when it does."""

from collections.abc import AsyncIterator

import pytest

from services.linker.settings import LinkerSettings
from shared.database import Database
from shared.kafka import plain
from shared.service import DATABASE_LIMIT_S, Service
from shared.sql import text
from tests.shared.databases import taking_no_connections
from tests.shared.things import a_topic, forget_heard


@pytest.fixture
async def service(things_url: str) -> AsyncIterator[Service]:
    """One that has no way to the cloud, so that nothing but its loops asks its database."""
    settings = LinkerSettings.model_validate({"api_token": "t", "linker_database_url": things_url})
    made = Service(
        "linker",
        settings,
        plain("127.0.0.1:1"),
        Database(things_url),
        own_topics=(a_topic(),),
        forget_heard=forget_heard,
    )
    yield made
    await made.database.close()


async def _ask(service: Service) -> None:
    async with service.database.transaction() as connection:
        await connection.execute(text("select 1"))


async def test_a_database_that_has_not_answered_for_a_while_is_told(service: Service, postgres_url: str) -> None:
    await _ask(service)
    before = (await service.readiness())["database"]
    async with taking_no_connections(postgres_url, service.database.url.database):
        answered_at = service.database.answered_at
        with pytest.raises(Exception):  # noqa: B017, PT011  # whatever the driver makes of it
            await _ask(service)
        asked_in_vain = service.database.answered_at == answered_at
        service.database.answered_at -= DATABASE_LIMIT_S  # that long ago
        silent = await service.readiness()
    await _ask(service)
    after = (await service.readiness())["database"]

    assert (before["answers"], asked_in_vain, after["answers"]) == (True, True, True)
    assert (silent["ready"], silent["database"]["answers"]) == (False, False)
    assert silent["database"]["answered_s"] >= DATABASE_LIMIT_S
