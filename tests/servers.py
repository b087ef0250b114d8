"""Fixtures: one genuine Kafka and one genuine PostgreSQL for a whole test run, shared by all its workers.

The addresses come from TEST_KAFKA_BOOTSTRAP_SERVERS and TEST_POSTGRES_URL (a superuser's URL); what is not given there
is started by `tests.servers_process`, in Docker if it can, else embedded, when the first test asks for it. Whoever
starts it, the run's first process (xdist's controller) ends it, and it ends by itself if that process is killed.
"""

import fcntl
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import psutil
import pytest

RUN_DIR = "TICKETSYNC_TEST_RUN_DIR"  # from the run's first process to its workers
KAFKA = "TEST_KAFKA_BOOTSTRAP_SERVERS"
POSTGRES = "TEST_POSTGRES_URL"
STOP_TIMEOUT_S = 30

CreateDatabase = Callable[[], Awaitable[str]]


@pytest.fixture(scope="session")
def kafka_bootstrap_servers() -> str:
    """host:port of a Kafka that allows everything without a password; its topics are shared by the whole run."""
    return os.environ.get(KAFKA) or _started_servers()["kafka_bootstrap_servers"]


@pytest.fixture(scope="session")
def postgres_url() -> str:
    """postgresql://… of a superuser, as asyncpg takes it."""
    return os.environ.get(POSTGRES) or _started_servers()["postgres_url"]


@pytest.fixture
async def create_database(postgres_url: str) -> AsyncIterator[CreateDatabase]:
    """`await create_database()` makes an empty database and returns its postgresql+asyncpg:// URL.

    Its role owns it and may create others, as in the embedded stack. Both are dropped when the test is over.
    """
    created: list[str] = []
    address = urlsplit(postgres_url).netloc.rpartition("@")[2]

    async def create() -> str:
        name = f"test_{uuid4().hex[:12]}"
        created.append(name)
        await _execute(
            postgres_url,
            f"create role {name} login createdb password '{name}'",
            f"create database {name} owner {name}",
        )
        return f"postgresql+asyncpg://{name}:{name}@{address}/{name}"

    yield create

    for name in created:
        await _execute(postgres_url, f"drop database if exists {name} with (force)", f"drop role {name}")


@pytest.fixture
async def database_url(create_database: CreateDatabase) -> str:
    """The postgresql+asyncpg:// URL of one empty database."""
    return await create_database()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs servers, so that `-m "not servers"` leaves it out."""
    for item in items:
        if {"kafka_bootstrap_servers", "postgres_url"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.servers)


def pytest_configure(config: pytest.Config) -> None:
    """In the run's first process: a folder that all its workers know."""
    if RUN_DIR not in os.environ:
        os.environ[RUN_DIR] = tempfile.mkdtemp(prefix="ticketsync-test-")
        Path(os.environ[RUN_DIR], "owner").write_text(str(os.getpid()))
        config.add_cleanup(_stop_servers)


def _started_servers() -> dict[str, str]:
    """The addresses; the first caller of the run starts the servers, the others wait for them meanwhile."""
    run_dir = Path(os.environ[RUN_DIR])
    state = run_dir / "servers.json"
    with (run_dir / "servers.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not state.exists():
            command = [sys.executable, "-m", "tests.servers_process", "--data-dir", str(run_dir / "data")]
            command += ["--while-running", (run_dir / "owner").read_text()]
            with (run_dir / "servers.log").open("w") as log:
                process = subprocess.Popen(
                    command, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True
                )
            assert process.stdout is not None
            with process.stdout:
                answer = process.stdout.readline()
            assert answer, f"the servers did not start: {(run_dir / 'servers.log').read_text()}"
            state.write_text(json.dumps({**json.loads(answer), "pid": process.pid}))
            process.returncode = 0  # it outlives this worker on purpose: no warning about that
        started: dict[str, str] = json.loads(state.read_text())
        return started


def _stop_servers() -> None:
    run_dir = Path(os.environ.pop(RUN_DIR))
    state = run_dir / "servers.json"
    if state.exists():
        try:
            servers = psutil.Process(json.loads(state.read_text())["pid"])
            servers.terminate()
            servers.wait(STOP_TIMEOUT_S)
        except psutil.NoSuchProcess:
            pass
    shutil.rmtree(run_dir, ignore_errors=True)


async def _execute(url: str, *statements: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()
