"""How many rows of a spreadsheet a second become links, and how large linker gets meanwhile.

Known: the command imports a CSV of recordings that are in the catalogue; the time runs from the start of the command
until the last TicketLinked is on its topic. Parked: the same with recordings that nobody has seen yet, until the
command returns. linker runs alone.
"""

import asyncio
import csv
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.facts import processed
from bench.link_to_cloud import folded, publish
from bench.system import TICKETSYNC, TOKEN, System, running_system
from shared.topics import ends

BEAT_S = 0.05


async def import_rows(rows: int) -> dict[str, float]:
    """Rows a second of known recordings, seconds for parked ones, and linker's largest memory in MB."""
    async with running_system(["linker"]) as system:
        await publish(system, processed(rows, run="import"))
        await folded(system, "linker", "RecordingProcessed")
        with TemporaryDirectory(prefix="ticketsync-bench-") as folder:
            known, unseen = Path(folder, "known.csv"), Path(folder, "unseen.csv")
            _write(known, rows, run="import")
            _write(unseen, rows, run="unseen")
            before = await _on_topic(system)
            began_at = time.monotonic()
            command = asyncio.create_task(_command(system, known))
            while await _on_topic(system) < before + rows:
                if command.done():
                    command.result()
                await asyncio.sleep(BEAT_S)
            took_s = time.monotonic() - began_at
            await command
            print(f"import: {rows / took_s:,.0f} rows/s to the topic", file=sys.stderr)
            began_at = time.monotonic()
            await _command(system, unseen)
            parked_s = time.monotonic() - began_at
            print(f"parked: {rows:,} rows in {parked_s:.1f} s", file=sys.stderr)
        return {
            "import_rows_per_s": rows / took_s,
            "import_parked_s": parked_s,
            "import_linker_mb": _largest_mb(system.pids["linker"]),
        }


def _write(path: Path, rows: int, *, run: str) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["filename", "ticket_id", "customer_name", "agent_name"])
        table.writerows([f"{run}-{number}.wav", f"{run}-{number}", "John Doe", "Agent Smith"] for number in range(rows))


async def _command(system: System, file: Path) -> None:
    environment = dict(os.environ) | {"LINKER_URL": system.service_urls["linker"], "API_TOKEN": TOKEN}
    process = await asyncio.create_subprocess_exec(
        TICKETSYNC, "import", str(file), "--json", env=environment, stdout=asyncio.subprocess.DEVNULL
    )
    if code := await process.wait():
        raise RuntimeError(f"ticketsync import ended with {code}")


async def _on_topic(system: System) -> int:
    return sum((await ends(system.kafka_bootstrap_servers, ["TicketLinked"])).values())


def _largest_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) / 1024
