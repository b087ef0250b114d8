"""A database made once for a run and emptied before each test: much faster than a new one."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from shared import migrations

FIRST_ROWS_OF_SERVICES = """
    insert into origin (one, created_at) values (true, now());
    insert into lane (one, reason, failures) values (true, 'not_reached', 0);
"""


@dataclass(frozen=True)
class Emptied:
    """`url`: postgresql+asyncpg://…; `first_rows`: SQL for the rows that a new database has."""

    url: str
    first_rows: str

    async def empty(self) -> str:
        """Put it back to its first moment. Returns the URL."""
        connection = await asyncpg.connect(self.url.replace("+asyncpg", ""))
        try:
            tables = await connection.fetchval("""
                select string_agg(quote_ident(tablename), ', ') from pg_tables
                where schemaname = 'public' and tablename <> 'alembic_version'
            """)
            await connection.execute(f"truncate {tables}; {self.first_rows}")
        finally:
            await connection.close()
        return self.url


@contextmanager
def migrated_database(postgres_url: str, service: str) -> Iterator[Emptied]:
    """A database of `service` at its newest revision, dropped at the end."""
    with _database(postgres_url) as url:
        migrations.upgrade(service, url)
        yield Emptied(url, FIRST_ROWS_OF_SERVICES)


@contextmanager
def declared_database(postgres_url: str, metadata: MetaData, first_rows: str) -> Iterator[Emptied]:
    """A database with these tables, dropped at the end."""

    async def create(url: str) -> None:
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(metadata.create_all)
        await engine.dispose()

    with _database(postgres_url) as url:
        asyncio.run(create(url))
        yield Emptied(url, first_rows)


@asynccontextmanager
async def taking_no_connections(postgres_url: str, name: str | None) -> AsyncIterator[None]:
    """The database of this name ends those that it has, and takes no others, while the block runs."""
    server = await asyncpg.connect(postgres_url)
    try:
        await server.execute(f"alter database {name} allow_connections false")
        await server.execute("select pg_terminate_backend(pid) from pg_stat_activity where datname = $1", name)
        yield
    finally:
        await server.execute(f"alter database {name} allow_connections true")
        await server.close()


@contextmanager
def _database(postgres_url: str) -> Iterator[str]:
    name = f"test_{uuid4().hex[:12]}"
    address = urlsplit(postgres_url).netloc.rpartition("@")[2]
    create = (f"create role {name} login password '{name}'", f"create database {name} owner {name}")
    asyncio.run(_execute(postgres_url, *create))
    try:
        yield f"postgresql+asyncpg://{name}:{name}@{address}/{name}"
    finally:
        asyncio.run(_execute(postgres_url, f"drop database {name} with (force)", f"drop role {name}"))


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
