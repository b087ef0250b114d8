"""The process that holds Kafka and PostgreSQL for one test run: in Docker if an engine has the images, else embedded.

Prints one JSON line with the addresses and runs until SIGTERM, or until the process it was started for has ended.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path

import asyncpg
import psutil
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from local.kafka import answers_as
from local.kafka_properties import MESSAGE_MAX_BYTES
from local.ports import held_ports
from local.postgres import SUPERUSER, answers, postgres_url
from local.servers import Servers, running_servers

KAFKA_IMAGE = "apache/kafka:4.3.1"
POSTGRES_IMAGE = "postgres:17"
PASSWORD = "throw-away"
CLUSTER_ID = "dGlja2V0c3luY190ZXN0cw"
READY_TIMEOUT_S = 60
LOOK_EVERY_S = 0.5


@asynccontextmanager
async def servers_in_docker(data_dir: Path) -> AsyncIterator[Servers]:
    """Both servers as containers, which are removed when the block ends."""
    testcontainers_config.ryuk_disabled = True  # this process is the one that cleans up
    data_dir.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - at the start nothing else wants the loop
    with held_ports(data_dir / "ports.json", ["kafka", "postgres"], say=_say) as ports:
        pass  # the engine's own proxy listens there
    bootstrap_servers = f"127.0.0.1:{ports['kafka']}"
    url = postgres_url(ports["postgres"], SUPERUSER, PASSWORD)
    kafka = DockerContainer(KAFKA_IMAGE).with_envs(**_kafka_settings(bootstrap_servers))
    postgres = DockerContainer(POSTGRES_IMAGE).with_envs(POSTGRES_PASSWORD=PASSWORD)
    postgres = postgres.with_command("postgres -c max_connections=200")
    with kafka.with_bind_ports(9092, ports["kafka"]), postgres.with_bind_ports(5432, ports["postgres"]):
        async with asyncio.timeout(READY_TIMEOUT_S):
            while not (await answers_as(bootstrap_servers, cluster_id=CLUSTER_ID) and await answers(url)):  # noqa: ASYNC110 - nobody could set an event
                await asyncio.sleep(LOOK_EVERY_S)
        yield Servers(bootstrap_servers, url)


def docker_has_images() -> bool:
    """Whether an engine answers and has both images; nothing is ever pulled."""
    try:
        asked = subprocess.run(
            ["docker", "image", "inspect", KAFKA_IMAGE, POSTGRES_IMAGE], capture_output=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return asked.returncode == 0


async def _without_fsync(url: str) -> None:
    """What these databases hold need not outlive the machine; a process that is killed still loses nothing.

    And what a change adds to the log does not depend on when the last checkpoint was.
    """
    connection = await asyncpg.connect(url)
    for name in ("fsync", "full_page_writes"):
        await connection.execute(f"alter system set {name} = off")
    await connection.execute("select pg_reload_conf()")
    await connection.close()


def _kafka_settings(advertised: str) -> dict[str, str]:
    return {
        "CLUSTER_ID": CLUSTER_ID,
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_NODE_ID": "1",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"PLAINTEXT://{advertised}",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_AUTO_CREATE_TOPICS_ENABLE": "false",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "KAFKA_MESSAGE_MAX_BYTES": str(MESSAGE_MAX_BYTES),
        "KAFKA_REPLICA_FETCH_MAX_BYTES": str(MESSAGE_MAX_BYTES),
    }


async def _main(data_dir: Path, *, while_running: int) -> None:
    stop = asyncio.Event()
    for stop_signal in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(stop_signal, stop.set)
    servers = servers_in_docker(data_dir) if docker_has_images() else running_servers(data_dir, say=_say)
    async with servers as addresses:
        await _without_fsync(addresses.postgres_url)
        print(json.dumps(asdict(addresses)), flush=True)
        while not stop.is_set() and psutil.pid_exists(while_running):  # noqa: ASYNC110 - nor here
            await asyncio.sleep(LOOK_EVERY_S)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--while-running", type=int, required=True, metavar="PID")
    arguments = parser.parse_args()
    asyncio.run(_main(arguments.data_dir, while_running=arguments.while_running))
