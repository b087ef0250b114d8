"""Genuine Apache Kafka as one child process: broker and controller in one, for one machine, data in one folder.

In: a folder and two ports. Out: a `Program` for the supervisor; clients connect to 127.0.0.1 and nobody else can.
A folder keeps its cluster id for ever: services take another id for a new Kafka and read everything again.
"""

import logging
import secrets
from collections.abc import Callable
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from local.kafka_jars import kafka_jars
from local.kafka_java import KafkaJava, environment, kafka_mark, properties_file
from local.kafka_properties import server_properties
from local.kafka_start_cache import quick_start
from local.ports import accepts_connections
from local.supervisor import Program

READY_TIMEOUT_MS = 3_000

_log = logging.getLogger(__name__)


def kafka_program(folder: Path, *, port: int, controller_port: int, log: Path, say: Callable[[str], None]) -> Program:
    """Prepare `folder` if it is new, write its configuration, and say how Kafka is started on it.

    Raises JarsUnavailableError if Kafka's jars are not cached and cannot be fetched, and NotStartedError if Kafka
    refuses the folder.
    """
    properties, data = properties_file(folder), folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    properties.write_text(server_properties(port=port, controller_port=controller_port))
    java = quick_start(KafkaJava(kafka_jars(say=say)), say=say)
    if (cluster_id := _cluster_id(data)) is None:
        cluster_id = secrets.token_urlsafe(16).replace("-", "_")  # the form of Kafka's own ids
        java.format_storage(properties, cluster_id)

    async def ready() -> bool:
        return await answers_as(f"127.0.0.1:{port}", cluster_id=cluster_id)

    return Program(
        mark=kafka_mark(folder),
        command=java.command("kafka.Kafka", str(properties)),
        log=log,
        ready=ready,
        cwd=folder,
        environment=environment(),
    )


async def answers_as(bootstrap_servers: str, *, cluster_id: str) -> bool:
    """Whether the Kafka there takes requests and is this cluster."""
    host, _, port = bootstrap_servers.rpartition(":")
    if not await accepts_connections(host, int(port)):
        return False
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=READY_TIMEOUT_MS)
    try:
        await admin.start()
        cluster = await admin.describe_cluster()
    except (KafkaError, OSError) as error:
        _log.debug("Kafka is not ready: %r", error)
        return False
    finally:
        await admin.close()
    return bool(cluster["cluster_id"] == cluster_id and cluster["brokers"])


def _cluster_id(data: Path) -> str | None:
    """The id under which the folder was formatted; this file is the last thing that formatting writes."""
    file = data / "meta.properties"
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id=")), None)
