"""Embedded Kafka and PostgreSQL, genuine, in folders that make it hard for them."""

import asyncio
import signal
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from local.postgres import ensure_databases
from local.processes import find_processes
from local.servers import Servers, running_servers, server_marks

pytestmark = pytest.mark.stack

TOPIC = "facts"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Longer than a unix socket may be, with what configuration files and locales stumble over."""
    return tmp_path / "call centre, Zürich" / ("long" * 30) / "data"


async def test_what_was_stored_is_there_after_both_were_killed_and_after_a_restart(folder: Path) -> None:
    told: list[str] = []
    async with running_servers(folder, say=told.append) as before:
        await store(before)
        for mark in server_marks(folder):
            for process in find_processes(mark.arguments):
                process.send_signal(signal.SIGKILL)
        async with asyncio.timeout(30):
            while len(told) < 4:  # noqa: ASYNC110 - `say` is a plain function
                await asyncio.sleep(0.1)
        assert await stored(before) == ("kept by Kafka", "kept by PostgreSQL")

    assert [process for mark in server_marks(folder) for process in find_processes(mark.arguments)] == []
    async with running_servers(folder, say=told.append) as after:
        assert after == before
        assert await stored(after) == ("kept by Kafka", "kept by PostgreSQL")

    assert set(told) == {
        "kafka ended (killed by SIGKILL): starting it again",
        "kafka is ready again",
        "postgres ended (killed by SIGKILL): starting it again",
        "postgres is ready again",
    }


async def test_each_role_enters_its_own_database_and_can_make_it_anew(postgres_url: str) -> None:
    linker, transfer = (f"{name}_{uuid4().hex[:8]}" for name in ("linker", "transfer"))
    await ensure_databases(postgres_url, {linker: "old", transfer: "secret"})
    await ensure_databases(postgres_url, {linker: "new", transfer: "secret"})  # as at every start
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(url_of(postgres_url, linker, "new", database=transfer))

        await execute(url_of(postgres_url, linker, "new", database=linker), "create table kept ()")
        await execute(
            url_of(postgres_url, linker, "new", database="postgres"),
            f"create database {linker}_copy template {linker}",
            f"drop database {linker}",
            f"alter database {linker}_copy rename to {linker}",
        )
        await execute(url_of(postgres_url, linker, "new", database=linker), "drop table kept")
    finally:
        for name in (linker, transfer):
            await execute(postgres_url, f"drop database {name}", f"drop role {name}")


async def store(servers: Servers) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=servers.kafka_bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=servers.kafka_bootstrap_servers, acks="all") as producer:
        await producer.send_and_wait(TOPIC, b"kept by Kafka")
    await execute(servers.postgres_url, "create table fact as select 'kept by PostgreSQL' as text")


async def stored(servers: Servers) -> tuple[str, str]:
    connection = await asyncpg.connect(servers.postgres_url)
    text = await connection.fetchval("select text from fact")
    await connection.close()
    async with AIOKafkaConsumer(
        TOPIC, bootstrap_servers=servers.kafka_bootstrap_servers, auto_offset_reset="earliest"
    ) as consumer:
        record = await asyncio.wait_for(consumer.getone(), 20)
    return record.value.decode(), text


async def execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


def url_of(superuser_url: str, role: str, password: str, *, database: str) -> str:
    address = urlsplit(superuser_url).netloc.rpartition("@")[2]
    return f"postgresql://{role}:{password}@{address}/{database}"
