"""linker on a database of its own: migrated once for a run, emptied before each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from shared import migrations
from tests.linker.running import Linker, running_linker


@pytest.fixture(scope="session")
def _migrated(postgres_url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    address = urlsplit(postgres_url).netloc.rpartition("@")[2]
    url = f"postgresql://{name}:{name}@{address}/{name}"
    asyncio.run(
        _execute(postgres_url, f"create role {name} login password '{name}'", f"create database {name} owner {name}")
    )
    migrations.upgrade("linker", url.replace("postgresql:", "postgresql+asyncpg:"))
    yield url
    asyncio.run(_execute(postgres_url, f"drop database {name} with (force)", f"drop role {name}"))


@pytest.fixture
async def linker(_migrated: str) -> AsyncIterator[Linker]:
    """The service on an empty database, its gate open."""
    await _execute(
        _migrated,
        """truncate audit, position, origin, dead_letter, lease, recording, link, link_history, unheard_link,
           parked_link, fresh_parked, api_request, arrival, import, import_part, upload, upload_part""",
        "insert into origin (one, created_at) values (true, now())",
    )
    async with running_linker(_migrated.replace("postgresql:", "postgresql+asyncpg:")) as service:
        yield service


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
