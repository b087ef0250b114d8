"""Kafka and PostgreSQL alone, without the services: for tests, and for development by `python -m local.servers`.

In: a data folder. Out: the two addresses, for as long as the block runs. A folder used again keeps its data.
"""

import argparse
import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from local.data_dir import keep_secrets, open_data_dir
from local.kafka import kafka_program
from local.kafka_java import kafka_mark
from local.ports import held_ports
from local.postgres import SUPERUSER, postgres_mark, postgres_program, postgres_url
from local.supervisor import Mark, Program, Supervisor, stop_leftovers

SERVER_PORTS = ("kafka", "kafka_controller", "postgres")


@dataclass(frozen=True)
class Servers:
    """Where the two are; `postgres_url` is the superuser's."""

    kafka_bootstrap_servers: str
    postgres_url: str


@asynccontextmanager
async def running_servers(data_dir: Path, *, say: Callable[[str], None]) -> AsyncIterator[Servers]:
    """Kafka and PostgreSQL on `data_dir`, kept alive while the block runs, stopped with nothing left after it.

    Raises DataDirInUseError, JarsUnavailableError or NotStartedError.
    """
    supervisor = Supervisor(say=say)
    with open_data_dir(data_dir) as folder:
        stop_leftovers(server_marks(folder), say=say)
        with held_ports(folder / "ports.json", SERVER_PORTS, say=say) as ports:
            try:
                await supervisor.start(server_programs(folder, ports=ports, say=say))
                yield addresses(folder, ports)
            finally:
                await supervisor.stop()


def server_marks(folder: Path) -> list[Mark]:
    """How the servers of this data folder are known among other processes."""
    return [kafka_mark(folder / "kafka"), postgres_mark(folder / "postgres")]


def server_programs(folder: Path, *, ports: Mapping[str, int], say: Callable[[str], None]) -> list[Program]:
    """Both servers, their folders made if they are new. Raises JarsUnavailableError or NotStartedError."""
    logs = folder / "logs"
    kafka = kafka_program(
        folder / "kafka",
        port=ports["kafka"],
        controller_port=ports["kafka_controller"],
        log=logs / "kafka.log",
        say=say,
    )
    postgres = postgres_program(
        folder / "postgres",
        port=ports["postgres"],
        superuser_password=_superuser_password(folder),
        log=logs / "postgres.log",
    )
    return [kafka, postgres]


def addresses(folder: Path, ports: Mapping[str, int]) -> Servers:
    """Where the servers of this data folder are, given the ports they were started with."""
    return Servers(
        kafka_bootstrap_servers=f"127.0.0.1:{ports['kafka']}",
        postgres_url=postgres_url(ports["postgres"], SUPERUSER, _superuser_password(folder)),
    )


def _superuser_password(folder: Path) -> str:
    return keep_secrets(folder, ["postgres_superuser_password"])["postgres_superuser_password"]


async def _main(data_dir: Path) -> None:
    stop = asyncio.Event()
    for stop_signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(stop_signal, stop.set)
    async with running_servers(data_dir, say=lambda line: print(line, file=sys.stderr)) as servers:
        print(json.dumps(asdict(servers)), flush=True)
        await stop.wait()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Run Kafka and PostgreSQL until SIGINT or SIGTERM.")
    parser.add_argument("--data-dir", type=Path, required=True)
    asyncio.run(_main(parser.parse_args().data_dir))
