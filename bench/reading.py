"""What a measurement asks of the processes that it measures: how far they have read, how large they are, what came."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition

from bench.system import TOKEN, System
from shared.kafka import asking_options, plain, started
from shared.topics import ends

BEAT_S = 0.05


async def folded(system: System, service: str, *topics: str) -> None:
    """Wait until the service has folded these topics up to where they end now."""
    targets = {TopicPartition(*one): end for one, end in (await ends(system.kafka_bootstrap_servers, topics)).items()}
    while True:
        found = await positions(system, service)
        if all(found.get(partition, 0) >= end for partition, end in targets.items()):
            break
        await asyncio.sleep(BEAT_S)


async def positions(system: System, service: str) -> dict[TopicPartition, int]:
    """How far the service has folded, by partition."""
    url = f"{system.service_urls[service]}/positions"
    answer = (await system.http.get(url, headers={"Authorization": f"Bearer {TOKEN}"})).json()
    return {TopicPartition(one["topic"], one["partition"]): one["next_offset"] for one in answer["positions"]}


@asynccontextmanager
async def written(system: System, topic: str) -> AsyncIterator[Callable[[], Awaitable[int]]]:
    """Asks how many records have been written to the topic so far.

    One consumer asks all the time: to connect for each look would take its time from what is measured.
    """
    places = [TopicPartition(*place) for place in await ends(system.kafka_bootstrap_servers, [topic])]
    async with started(AIOKafkaConsumer(**asking_options(plain(system.kafka_bootstrap_servers)))) as consumer:

        async def ask() -> int:
            return sum((await consumer.end_offsets(places)).values())

        yield ask


async def seen(system: System, tell: str = "seen") -> dict[str, float]:
    """What the receiver has counted; `tell` it "again" to count anew, "down" or "up"."""
    found: dict[str, float] = (await system.http.get(f"{system.receiver_url}/{tell}")).json()
    return found


async def received(system: System, links: int) -> dict[str, float]:
    """Wait until the receiver has so many different links."""
    while (found := await seen(system))["new"] < links:  # noqa: ASYNC110  # another process
        await asyncio.sleep(BEAT_S)
    return found


def largest_mb(pid: int) -> float:
    """The most memory that the process has had."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
