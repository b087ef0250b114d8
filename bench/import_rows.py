"""How many rows of a spreadsheet a second become links, and how large linker gets meanwhile.

Known: the command imports a CSV of recordings that are in the catalogue; the time runs from the start of the command
until the last TicketLinked is on its topic; the median of some files, each of other recordings. Parked: the same with
recordings that nobody has seen yet, until the command returns, once. linker runs alone.
"""

import argparse
import asyncio
import csv
import os
import resource
import statistics
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from bench.cpu import cpu_s
from bench.facts import processed, publish
from bench.reading import BEAT_S, folded, largest_mb, written
from bench.system import TICKETSYNC, TOKEN, System, running_system, say


async def import_rows(rows: int, *, number: int) -> dict[str, float]:
    """Rows a second of known recordings, seconds for parked ones, what a row costs, and linker's largest memory, before
    the first import and after the last.
    """
    figures: dict[str, float] = {}
    async with running_system(["linker"]) as system:
        with TemporaryDirectory(prefix="ticketsync-bench-") as folder:
            rates = []
            for one in range(number):
                known = Path(folder, f"known-{one}.csv")
                _write(known, rows, run=f"import-{one}")
                await publish(system.kafka_bootstrap_servers, processed(rows, run=f"import-{one}"))
                await folded(system, "linker", "RecordingProcessed")
                figures.setdefault("linker_mb", largest_mb(system.pids["linker"]))
                async with _costs(system, rows, figures, prefix="import"):
                    rates.append(rows / await _until_announced(system, known, rows))
                    await folded(system, "linker", "TicketLinked")
            say(f"import: {[round(one) for one in rates]} rows/s")
            figures["import_rows_per_s"] = statistics.median(rates)
            unseen = Path(folder, "unseen.csv")
            _write(unseen, rows, run="unseen")
            async with _costs(system, rows, figures, prefix="import_parked"):
                began_at = time.monotonic()
                await import_file(system, unseen)
                figures["import_parked_s"] = time.monotonic() - began_at
        return {**figures, "import_linker_mb": largest_mb(system.pids["linker"])}


async def _until_announced(system: System, file: Path, rows: int) -> float:
    """Seconds from the start of the command until the links of all rows are on their topic."""
    async with written(system, "TicketLinked") as links:
        before = await links()
        began_at = time.monotonic()
        command = asyncio.create_task(import_file(system, file))
        while await links() < before + rows:
            if command.done():
                command.result()
            await asyncio.sleep(BEAT_S)
        took_s = time.monotonic() - began_at
    await command
    return took_s


@asynccontextmanager
async def _costs(system: System, rows: int, figures: dict[str, float], *, prefix: str) -> AsyncIterator[None]:
    """Put down what the block costs for each row: microseconds of CPU of each process, bytes of PostgreSQL's WAL. Of
    several with one prefix, the last stays.
    """
    before, wal = _used_s(system), await _wal_bytes(system)
    yield
    after = _used_s(system)
    figures |= {f"{prefix}_{name}_us_per_row": (after[name] - before[name]) / rows * 1e6 for name in after}
    figures[f"{prefix}_wal_bytes_per_row"] = (await _wal_bytes(system) - wal) / rows


def _used_s(system: System) -> Mapping[str, float]:
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {**cpu_s({"linker": system.pids["linker"]}), "command": ended.ru_utime + ended.ru_stime}


async def _wal_bytes(system: System) -> int:
    connection = await asyncpg.connect(system.postgres_url)
    try:
        return int(await connection.fetchval("select pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')"))
    finally:
        await connection.close()


def _write(path: Path, rows: int, *, run: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "ticket_id", "customer_name", "agent_name"])
        table.writerows([f"{run}-{number}.wav", f"{run}-{number}", "John Doe", "Agent Smith"] for number in range(rows))


async def import_file(system: System, file: Path) -> None:
    """Let the command import it, and return when each of its rows is decided."""
    environment = dict(os.environ) | {"LINKER_URL": system.service_urls["linker"], "API_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(
        TICKETSYNC, "import", str(file), "--json", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    if code := await process.wait():
        raise RuntimeError(f"ticketsync import ended with {code}")


def main() -> None:
    """Measure imports alone."""
    parser = argparse.ArgumentParser(prog="python -m bench.import_rows", description="Measure imports alone.")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of an import (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=1, help="how often (default: %(default)s)")
    given = parser.parse_args()
    for name, value in asyncio.run(import_rows(given.rows, number=given.rounds)).items():
        print(f"{name:32} {value:12,.1f}")


if __name__ == "__main__":
    main()
