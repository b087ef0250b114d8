"""How many links a second reach the cloud, by this system and by its peers, in alternation.

In a round the links are for recordings that are in the cloud already. A contender is started and warmed up with one
link; it stands still while the links are put on its topic or into its queue, and the time runs from when it goes on
until the receiver has the last of them. Nobody else works meanwhile but Kafka or Redis, PostgreSQL and the receiver.
"""

import asyncio
import signal
import statistics
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from bench.facts import FILES_PER_FOLDER, linked, publish, transferred
from bench.peers.running import Contender, Running
from bench.reading import folded, received, seen
from bench.system import System, running_services, say, stopped
from schemas.events import CloudTicketUpdated, RecordingTransferred
from shared.producer import Outgoing

OURS = "ticketsync"
LONGEST_ROUND_S = 300  # a peer that does not work would be waited for in vain


@dataclass(frozen=True)
class Rate:
    """One round: links a second, and how many requests."""

    per_s: float
    requests: float


def ours(links: int, *, files_per_folder: int = FILES_PER_FOLDER) -> Contender:
    """cloud_updater, which knows the recordings of a round before it begins."""

    @asynccontextmanager
    async def start(system: System, run: str) -> AsyncIterator[Running]:
        async with running_services(system, ["cloud_updater"]):
            facts = transferred(links + 1, run=run, files_per_folder=files_per_folder)
            await publish(system.kafka_bootstrap_servers, facts)
            await folded(system, "cloud_updater", RecordingTransferred.__name__)

            async def load(records: Sequence[Outgoing]) -> None:
                await publish(system.kafka_bootstrap_servers, records)

            yield Running(system.pids["cloud_updater"], load)
            # So that no round begins with what an earlier one had left to announce.
            await folded(system, "cloud_updater", CloudTicketUpdated.__name__)

    return Contender(OURS, links, start)


async def rounds(
    system: System, contenders: Sequence[Contender], *, number: int
) -> tuple[dict[str, list[Rate]], dict[str, str]]:
    """Each contender once in a round, those left out that cannot run here; and why a peer was given up."""
    rates: dict[str, list[Rate]] = defaultdict(list)
    given_up: dict[str, str] = {}
    for one_round in range(number):
        for contender in contenders:
            name = contender.name
            if contender.skipped or name in given_up:
                continue
            try:
                async with asyncio.timeout(LONGEST_ROUND_S):
                    rate = await measured(system, contender, run=f"{name}-{one_round}")
            except TimeoutError:
                if name == OURS:
                    raise
                given_up[name] = f"a round was not over after {LONGEST_ROUND_S} s"
                rates.pop(name, None)
                continue
            rates[name].append(rate)
            say(f"round {one_round + 1}: {name}: {rate.per_s:,.0f} links/s in {rate.requests:,.0f} requests")
    return rates, given_up


async def measured(system: System, contender: Contender, *, run: str) -> Rate:
    """One round."""
    first, *records = linked(contender.links + 1, run=run)  # made beforehand: no part of what is measured
    await seen(system, "again")
    async with contender.start(system, run) as running:
        await running.load([first])
        before = await received(system, 1)
        stopped(running.pid)
        await running.load(records)
        began_at = time.time()
        stopped(running.pid, signal.SIGCONT)
        found = await received(system, contender.links + 1)
    return Rate(contender.links / (found["last_at"] - began_at), found["requests"] - before["requests"])


def median(rates: Iterable[Rate]) -> float:
    """Of the links a second."""
    return statistics.median(rate.per_s for rate in rates)
