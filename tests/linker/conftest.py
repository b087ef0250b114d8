"""linker on a database of its own: migrated once for a run, emptied before each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest

from shared import migrations
from tests.linker.running import Linker, running_linker
from tests.servers import CreateDatabase


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


@pytest.fixture
async def fresh_linker(create_database: CreateDatabase) -> AsyncIterator[Linker]:
    """On a database of which PostgreSQL knows what the test has it look at, and nothing of tests before.

    It is older than its requests, or those by a filename would be dead letters.
    """
    url = await create_database()
    await asyncio.to_thread(migrations.upgrade, "linker", url)
    async with running_linker(url) as service:
        for table in await service.rows("select tablename from pg_tables where schemaname = 'public'"):
            await service.change(f'alter table "{table["tablename"]}" set (autovacuum_enabled = false)')
        await service.change("update origin set created_at = '2020-01-01'")
        yield service


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
