"""The system that is measured: genuine Kafka and PostgreSQL, the receiver, and the services asked for, as processes."""

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg
import httpx

from local.servers import running_servers
from shared.topics import apply

TICKETSYNC = str(Path(sys.executable).parent / "ticketsync")
TOKEN = "bench"  # noqa: S105  # on loopback, for minutes
READY_WITHIN_S = 60


@dataclass(frozen=True)
class System:
    """Addresses of what runs."""

    kafka_bootstrap_servers: str
    postgres_url: str
    receiver_url: str
    service_urls: dict[str, str]
    pids: dict[str, int]
    http: httpx.AsyncClient


@asynccontextmanager
async def running_system(services: Sequence[str]) -> AsyncIterator[System]:
    """Run `services` (such as "cloud_updater") in a folder of their own until the block ends."""
    with TemporaryDirectory(prefix="ticketsync-bench-") as folder:
        async with running_servers(Path(folder), say=_say) as servers, httpx.AsyncClient(trust_env=False) as http:
            await apply(servers.kafka_bootstrap_servers)
            ports = {name: _free_port() for name in ("receiver", *services)}
            environment = await _environment(servers.kafka_bootstrap_servers, servers.postgres_url, ports["receiver"])
            commands = {"receiver": [sys.executable, "-m", "bench.receiver", str(ports["receiver"])]}
            for name in services:
                program = name.replace("_", "-")
                commands[name] = [TICKETSYNC, "run", program, "--port", str(ports[name]), "--migrate"]
            processes: dict[str, subprocess.Popen[bytes]] = {}
            try:
                for name, command in commands.items():
                    with (Path(folder) / f"{name}.log").open("w") as log:
                        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)  # noqa: ASYNC220  # returns at once
                    processes[name] = process
                urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
                pids = {name: process.pid for name, process in processes.items()}
                receiver_url = urls.pop("receiver")
                system = System(servers.kafka_bootstrap_servers, servers.postgres_url, receiver_url, urls, pids, http)
                await _ready(system)
                yield system
            finally:
                for process in processes.values():
                    process.terminate()
                for process in processes.values():
                    process.wait(30)


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


async def _ready(system: System) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        for url in (f"{system.receiver_url}/seen", *(f"{one}/readyz" for one in system.service_urls.values())):
            while not await _answers(system.http, url):  # noqa: ASYNC110  # another process
                await asyncio.sleep(0.1)


async def _answers(http: httpx.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(url)).status_code == httpx.codes.OK
    except httpx.TransportError:
        return False


def _say(words: str) -> None:
    print(words, file=sys.stderr)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
