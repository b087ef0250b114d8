"""Starts each peer on the addresses of a run, and gives it links in the way it gets them: from Kafka, or as jobs.

A peer that cannot be had has its reason in `skipped`; it is reported and never made up for.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from bench.facts import publish
from bench.system import System, free_port, process
from schemas.topics import TICKET_LINKED
from shared.producer import Outgoing

HERE = Path(__file__).parent
GOT = HERE.parent.parent / ".bench"
CELERY = GOT / "venv" / "bin" / "celery"
BENTHOS = GOT / "benthos"

Load = Callable[[Sequence[Outgoing]], Awaitable[None]]


@dataclass(frozen=True)
class Running:
    """`pid` leads the process group that does the work; `load` gives it links and returns when they are there."""

    pid: int
    load: Load
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Contender:
    """`links` of a round; `start(system, run)` runs it until the block ends; `skipped`: why it cannot run here."""

    name: str
    links: int
    start: Callable[[System, str], AbstractAsyncContextManager[Running]]
    skipped: str | None = None


def peers(links: int) -> list[Contender]:
    """All of them. The slow ones get fewer links: their rate does not depend on how many there are. The one that waits
    for half a second before it sends the last gets enough for that to be a tenth at most.
    """
    no_celery = None if CELERY.exists() else "Celery is not installed (see .bench/)"
    no_redis = None if shutil.which("redis-server") else "redis-server is not installed"
    no_benthos = None if BENTHOS.exists() else "Benthos was not built (it takes Go)"
    return [
        Contender("celery", min(links, 4_000), _celery, no_celery or no_redis),
        Contender("naive", min(links, 4_000), _naive),
        Contender("benthos_single", min(links, 30_000), _benthos("single.yaml"), no_benthos),
        Contender("benthos_batched", max(links, 200_000), _benthos("grouped.yaml"), no_benthos),
    ]


@asynccontextmanager
async def _naive(system: System, run: str) -> AsyncIterator[Running]:
    topic = await _topic(system, f"naive-{run}")
    command = [sys.executable, "-m", "bench.peers.naive", topic]
    with process(system, f"naive-{run}", command, environment=system.environment) as started:
        yield Running(started.pid, _to(system, topic))


def _benthos(configuration: str) -> Callable[[System, str], AbstractAsyncContextManager[Running]]:
    @asynccontextmanager
    async def start(system: System, run: str) -> AsyncIterator[Running]:
        topic = await _topic(system, f"benthos-{configuration}-{run}")
        command = [str(BENTHOS), "-c", str(HERE / "benthos" / configuration)]
        environment = system.environment | {"BENCH_TOPIC": topic}
        with process(system, f"benthos-{run}", command, environment=environment) as started:
            yield Running(started.pid, _to(system, topic))

    return start


@asynccontextmanager
async def _celery(system: System, run: str) -> AsyncIterator[Running]:
    port = free_port()
    # Nothing is written to disk: its fastest way, which loses what is queued in a crash.
    redis = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    environment = dict(os.environ) | {
        "BENCH_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "BENCH_RECEIVER_URL": system.receiver_url,
        "PYTHONPATH": str(HERE),
    }
    worker = [str(CELERY), "-A", "celery_app", "worker", "--concurrency", str(os.cpu_count() or 2), "-l", "WARNING"]
    worker += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    with (
        process(system, f"redis-{run}", redis),
        process(system, f"celery-{run}", worker, environment=environment) as started,
    ):

        async def load(records: Sequence[Outgoing]) -> None:
            await enqueue(environment, [job_of(one) for one in records])

        yield Running(started.pid, load, environment)


async def enqueue(environment: dict[str, str], jobs: Sequence[str]) -> None:
    """Give Celery its jobs."""
    command = [str(CELERY.parent / "python"), str(HERE / "celery_enqueue.py")]
    enqueuing = await asyncio.create_subprocess_exec(*command, env=environment, stdin=asyncio.subprocess.PIPE)
    await enqueuing.communicate("\n".join(jobs).encode())
    if enqueuing.returncode:
        raise RuntimeError(f"celery_enqueue.py ended with {enqueuing.returncode}")


def job_of(record: Outgoing) -> str:
    """The arguments of the job for a TicketLinked."""
    link = json.loads(record.value)
    return json.dumps([link["folder_id"], link["filename"], link["ticket_info"]])


async def _topic(system: System, name: str) -> str:
    """A topic of the peer's own with the partitions of ours, for the same records."""
    admin = AIOKafkaAdminClient(bootstrap_servers=system.kafka_bootstrap_servers)
    await admin.start()
    await admin.create_topics([NewTopic(name, TICKET_LINKED.partitions, 1)])
    await admin.close()
    return name


def _to(system: System, topic: str) -> Load:
    async def load(records: Sequence[Outgoing]) -> None:
        await publish(system.kafka_bootstrap_servers, [one._replace(topic=topic) for one in records])

    return load
