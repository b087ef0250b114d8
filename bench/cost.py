"""What a link costs in CPU time, from its topic to the cloud and back as an acknowledgement: by service and server.

    python -m bench.cost --links 30000 --rounds 2
    python -m bench.cost --processes 2              # of cloud_updater
    python -m bench.cost --all                      # with linker and transfer, which read the same facts
    python -m bench.cost --profile data/spy.txt     # where cloud_updater's time goes, by py-spy

A busy machine changes how long a thing takes, but hardly how much CPU time it needs: two versions are compared by this.
"""

import argparse
import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import asyncpg

from bench.cpu import cpu_s
from bench.facts import linked, publish, transferred
from bench.reading import folded, largest_mb, received, seen
from bench.system import System, running_services, running_system, say, stopped
from schemas.events import CloudTicketUpdated, RecordingTransferred, TicketLinked

PY_SPY = Path(sys.executable).parent / "py-spy"
HEARD_BY = {
    "cloud_updater": (TicketLinked.__name__, CloudTicketUpdated.__name__),
    "linker": (TicketLinked.__name__, CloudTicketUpdated.__name__),
    "transfer": (TicketLinked.__name__,),
}


async def cost(links: int, *, rounds: int, services: Sequence[str], profile: Path | None) -> None:
    """Measure some rounds on one system, and say what each has cost."""
    async with running_system() as system:
        for number in range(rounds):
            await _one_round(system, links, run=f"cost-{number}", services=services, profile=profile)


async def _one_round(system: System, links: int, *, run: str, services: Sequence[str], profile: Path | None) -> None:
    first, *records = linked(links + 1, run=run)
    await seen(system, "again")
    async with running_services(system, services):
        await publish(system.kafka_bootstrap_servers, transferred(links + 1, run=run))
        for service in services:
            await folded(system, service, RecordingTransferred.__name__)
        await publish(system.kafka_bootstrap_servers, [first])
        before = await received(system, 1)
        pids = {one: system.pids[one] for one in services}
        for pid in pids.values():
            stopped(pid)
        await publish(system.kafka_bootstrap_servers, records)
        transactions, wal_bytes = await _counts(system)
        used, began_at = cpu_s(pids), time.time()
        spy = _spy(pids["cloud_updater"], profile) if profile else None
        for pid in pids.values():
            stopped(pid, signal.SIGCONT)
        found = await received(system, links + 1)
        for service in services:
            await folded(system, service, *HEARD_BY[service.partition("#")[0]])
        used = {name: seconds - used[name] for name, seconds in cpu_s(pids).items()}
        if spy:
            spy.send_signal(signal.SIGINT)
            spy.wait()
        after = await _counts(system)
        memory = largest_mb(pids["cloud_updater"])
    each = ", ".join(f"{name} {seconds / links * 1e6:.0f}" for name, seconds in used.items())
    say(f"{links / (found['last_at'] - began_at):,.0f} links/s; CPU per link, µs: {each}")
    say(
        f"{found['requests'] - before['requests']:.0f} requests, {after[0] - transactions} transactions, "
        f"{(after[1] - wal_bytes) / links:.0f} bytes of WAL per link, cloud_updater {memory:.0f} MB"
    )


async def _counts(system: System) -> tuple[int, int]:
    """Transactions of all databases and bytes of WAL so far."""
    connection = await asyncpg.connect(system.postgres_url)
    transactions = await connection.fetchval("select sum(xact_commit) from pg_stat_database")
    wal_bytes = await connection.fetchval("select pg_current_wal_lsn() - '0/0'")
    await connection.close()
    return int(transactions), int(wal_bytes)


def _spy(pid: int, output: Path) -> subprocess.Popen[bytes]:
    """Sample until it is interrupted; stacks in lines, folded, for a flame graph or for `sort`."""
    command = [str(PY_SPY), "record", "-p", str(pid), "-r", "200", "-f", "raw", "-o", str(output), "-d", "600"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(prog="python -m bench.cost", description="What a link costs in CPU time.")
    parser.add_argument("--links", type=int, default=30_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--all", action="store_true", help="linker and transfer run as well")
    parser.add_argument("--profile", type=Path, help="file for the stacks of cloud_updater")
    parser.add_argument("--processes", type=int, default=1, help="of cloud_updater")
    given = parser.parse_args()
    services = list(HEARD_BY) if given.all else ["cloud_updater"]
    services += [f"cloud_updater#{number}" for number in range(2, given.processes + 1)]
    asyncio.run(cost(given.links, rounds=given.rounds, services=services, profile=given.profile))


if __name__ == "__main__":
    main()
