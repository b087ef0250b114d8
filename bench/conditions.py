"""The same work when something is different: links that are known, a cloud that was away, more rows, two processes."""

import asyncio
import signal
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg

from bench.facts import FILES_PER_FOLDER, linked, publish, transferred
from bench.link_to_cloud import Rate, measured, median, ours
from bench.reading import BEAT_S, folded, largest_mb, positions, received, seen
from bench.rows import ROWS, put
from bench.system import System, running_services, say, stopped
from schemas.events import CloudTicketUpdated, RecordingTransferred, TicketLinked
from shared.topics import ends


async def replay(system: System, *, number: int) -> dict[str, float]:
    """Links a second, when all links on the topic are read again and all is in sync; the median of some times."""
    topic = TicketLinked.__name__
    total = sum((await ends(system.kafka_bootstrap_servers, [topic])).values())
    async with running_services(system, ["cloud_updater"]):
        await folded(system, "cloud_updater", topic, CloudTicketUpdated.__name__)
        before = (await seen(system))["requests"]
        connection = await asyncpg.connect(system.database_url("cloud_updater"))
        rates = []
        for _ in range(number):
            await connection.execute("update position set next_offset = 0 where topic = $1", topic)
            # The service looks once a second whether its positions were moved: the time runs from its first batch.
            while not 0 < (first := await _read(system, topic)) < total:  # noqa: ASYNC110  # another process
                await asyncio.sleep(BEAT_S / 5)
            began_at = time.time()
            while (read := await _read(system, topic)) < total:  # noqa: ASYNC110  # another process
                await asyncio.sleep(BEAT_S)
            rates.append((read - first) / (time.time() - began_at))
        await connection.close()
        requests = (await seen(system))["requests"] - before
        memory = largest_mb(system.pids["cloud_updater"])
    say(f"replay: {[round(one) for one in rates]} links/s, {requests:.0f} requests")
    return {
        "noop_replay_per_s": statistics.median(rates),
        "noop_replay_requests": requests,
        "cloud_updater_mb": memory,
    }


async def _read(system: System, topic: str) -> int:
    found = await positions(system, "cloud_updater")
    return sum(offset for partition, offset in found.items() if partition.topic == topic)


async def outage(system: System, links: int) -> dict[str, float]:
    """The rate at which links go out that came while the cloud was away, from its return on, and what it was asked
    meanwhile: tickets refused until a second after the circuit opened, and from then on probes and pings a second.
    """
    await seen(system, "again")
    async with running_services(system, ["cloud_updater"]), _lane(system) as reason:
        await publish(system.kafka_bootstrap_servers, transferred(links, run="outage"))
        await folded(system, "cloud_updater", RecordingTransferred.__name__)
        await seen(system, "down")
        publishing = asyncio.create_task(publish(system.kafka_bootstrap_servers, linked(links, run="outage")))
        while await reason() != "circuit_open":
            if publishing.done():
                publishing.result()
            await asyncio.sleep(BEAT_S)
        await asyncio.sleep(1)  # for what was under way to be refused
        at_first, opened_at = await seen(system), time.time()
        await publishing
        await folded(system, "cloud_updater", TicketLinked.__name__)
        await asyncio.sleep(10)
        at_last, back_at = await seen(system, "up"), time.time()
        found = await received(system, links)
    rate = links / (found["last_at"] - back_at)
    probes, pings = [(at_last[kind] - at_first[kind]) / (back_at - opened_at) for kind in ("refused", "refused_pings")]
    say(
        f"outage: {at_first['refused']:.0f} refused until the circuit was open, then {probes:.1f} probes/s and "
        f"{pings:.1f} pings/s; drained at {rate:,.0f} links/s"
    )
    return {
        "drain_per_s": rate,
        "outage_refused_at_first": at_first["refused"],
        "outage_probes_per_s": probes,
        "outage_pings_per_s": pings,
    }


@asynccontextmanager
async def _lane(system: System) -> AsyncIterator[Callable[[], Awaitable[str | None]]]:
    """Asks why cloud_updater sends nothing now; None: it may."""
    connection = await asyncpg.connect(system.database_url("cloud_updater"))
    try:
        yield lambda: connection.fetchval("select reason from lane")
    finally:
        await connection.close()


async def grown(system: System, links: int, *, recordings: int, number: int) -> dict[str, float]:
    """The rate with so many recordings more in the tables, all in sync; and with one folder of all the links."""
    uuids = [f"bench-uuid-{number}" for number in range(recordings // FILES_PER_FOLDER)]
    await put(system.database_url("cloud_updater"), ROWS["cloud_updater"], uuids, FILES_PER_FOLDER)
    rates = [await measured(system, ours(links), run=f"grown-{one}") for one in range(number)]
    large = await measured(system, ours(links, files_per_folder=links + 1), run="large")
    say(f"grown: {[round(one.per_s) for one in rates]} links/s; one folder: {large.per_s:,.0f} in {large.requests:.0f}")
    return {"grown_per_s": median(rates), "large_folder_per_s": large.per_s}


async def replicas(system: System, links: int) -> dict[str, float]:
    """The rate of two processes on separate partitions, and how many links they pushed twice."""
    run = "replicas"
    first, *records = linked(links + 1, run=run)
    await seen(system, "again")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(running_services(system, ["cloud_updater", "cloud_updater#2"]))
        await publish(system.kafka_bootstrap_servers, transferred(links + 1, run=run))
        await folded(system, "cloud_updater", RecordingTransferred.__name__)
        await publish(system.kafka_bootstrap_servers, [first])
        await received(system, 1)
        pids = [system.pids[name] for name in ("cloud_updater", "cloud_updater#2")]
        for pid in pids:
            stopped(pid)
        await publish(system.kafka_bootstrap_servers, records)
        began_at = time.time()
        for pid in pids:
            stopped(pid, signal.SIGCONT)
        found = await received(system, links + 1)
        await folded(system, "cloud_updater", CloudTicketUpdated.__name__)
        twice = (await seen(system))["files"] - links - 1
    rate = Rate(links / (found["last_at"] - began_at), found["requests"])
    say(f"two replicas: {rate.per_s:,.0f} links/s, {twice:.0f} pushed twice")
    return {"two_replicas_per_s": rate.per_s, "two_replicas_pushed_twice": twice}


def least_requests(links: int) -> int:
    """Of the links of a round: the one that warms up leaves its folder a link short, and the last begins another."""
    return links // FILES_PER_FOLDER + 1
