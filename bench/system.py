"""What is measured and what it stands on: genuine Kafka and PostgreSQL, the receiver, and the services, as processes.

Servers and receiver live as long as a group of measurements; a service lives in its own rounds only, so that nobody's
figures hold another system's work.
"""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import httpx

from local.servers import running_servers
from shared.topics import apply

TICKETSYNC = str(Path(sys.executable).parent / "ticketsync")
_WITH_HTTPTOOLS = Path(__file__).parent.parent / ".bench" / "venv" / "bin" / "python"
RECEIVER_PYTHON = str(_WITH_HTTPTOOLS if _WITH_HTTPTOOLS.exists() else sys.executable)
TOKEN = "bench"  # noqa: S105  # on loopback, for minutes
READY_WITHIN_S = 60
STOP_WITHIN_S = 30


@dataclass(frozen=True)
class System:
    """Addresses of what runs. `environment`: the services' settings; `folder`: for logs and files of a run."""

    kafka_bootstrap_servers: str
    postgres_url: str
    receiver_url: str
    environment: dict[str, str]
    folder: Path
    http: httpx.AsyncClient
    service_urls: dict[str, str] = field(default_factory=dict)
    pids: dict[str, int] = field(default_factory=dict)

    def database_url(self, service: str) -> str:
        """As asyncpg takes it."""
        return self.environment[f"{service.upper()}_DATABASE_URL"].replace("+asyncpg", "")


@asynccontextmanager
async def running_system(services: Sequence[str] = ()) -> AsyncIterator[System]:
    """Servers and receiver in a folder of their own until the block ends, and these services (as "cloud_updater")."""
    with TemporaryDirectory(prefix="ticketsync-bench-") as folder:
        async with running_servers(Path(folder), say=say) as servers, httpx.AsyncClient(trust_env=False) as http:
            await apply(servers.kafka_bootstrap_servers)
            port = free_port()
            environment = await _environment(servers.kafka_bootstrap_servers, servers.postgres_url, port)
            url = f"http://127.0.0.1:{port}"
            system = System(servers.kafka_bootstrap_servers, servers.postgres_url, url, environment, Path(folder), http)
            command = [RECEIVER_PYTHON, str(Path(__file__).parent / "receiver.py"), str(port)]
            with process(system, "receiver", command):
                await answered(http, f"{url}/seen")
                async with running_services(system, services):
                    yield system


@asynccontextmanager
async def running_services(system: System, services: Sequence[str]) -> AsyncIterator[None]:
    """Run these services until the block ends, on the databases that they have had before."""
    if not services:
        yield
        return
    first, *others = services
    port = free_port()
    program = first.partition("#")[0].replace("_", "-")
    command = [TICKETSYNC, "run", program, "--port", str(port), "--migrate"]
    with process(system, first, command, environment=system.environment) as started:
        system.service_urls[first], system.pids[first] = f"http://127.0.0.1:{port}", started.pid
        await answered(system.http, f"{system.service_urls[first]}/readyz")
        async with running_services(system, others):
            yield


@contextmanager
def process(
    system: System, name: str, command: Sequence[str], *, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process, with a group of its own and its output in a file, ended with the block."""
    with (system.folder / f"{name}.log").open("a") as log:
        started = subprocess.Popen(
            command, env=environment or dict(os.environ), stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield started
    finally:
        stopped(started.pid, signal.SIGCONT)
        started.terminate()
        try:
            started.wait(STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            stopped(started.pid, signal.SIGKILL)
            started.wait()


def stopped(pid: int, how: signal.Signals = signal.SIGSTOP) -> None:
    """Let a process of ours and all that it started stand still, or go on with SIGCONT."""
    os.killpg(pid, how)


async def answered(http: httpx.AsyncClient, url: str) -> None:
    """Wait until something there is ready."""
    async with asyncio.timeout(READY_WITHIN_S):
        while not await _answers(http, url):  # noqa: ASYNC110  # another process
            await asyncio.sleep(0.1)


def say(words: str) -> None:
    """Tell the person who waits."""
    print(words, file=sys.stderr, flush=True)


async def _environment(kafka: str, postgres_url: str, receiver_port: int) -> dict[str, str]:
    """The services' settings; each gets an empty database of its own."""
    environment = dict(os.environ) | {
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "API_TOKEN": TOKEN,
        "CLOUDS_URL": f"http://127.0.0.1:{receiver_port}",
        "CLOUDS_TOKEN": TOKEN,
    }
    base = postgres_url.rsplit("/", 1)[0]
    connection = await asyncpg.connect(postgres_url)
    for name in ("linker", "transfer", "cloud_updater"):
        await connection.execute(f"create database bench_{name}")
        url = f"{base}/bench_{name}".replace("postgresql://", "postgresql+asyncpg://")
        environment[f"{name.upper()}_DATABASE_URL"] = url
    await connection.close()
    return environment


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
