"""How large each service gets that has 1,000,000 recordings in its tables and does its ordinary work.

    python -m bench.memory --recordings 1000000 --uploads 50000 --rows 100000

The tables get their rows by SQL (bench/rows.py); then the three services start on them, side by side. New recordings
are uploaded, links are asked for by events, half of them for new recordings and half for old ones, they go to the
cloud, all is looked at by a resync, and every kind of list is asked for with its longest page. The figure is the most
that the process has held since its start (VmHWM), shared libraries included. Then a spreadsheet is imported, for the
same recordings: what linker holds by then is a figure of its own, and the process that reads the file is another.
"""

import argparse
import asyncio
import csv
from collections.abc import Awaitable, Sequence
from pathlib import Path

from bench.facts import FILES_PER_FOLDER, processed, publish, requested
from bench.import_rows import import_file
from bench.reading import BEAT_S, folded, largest_mb, received, seen, written
from bench.rows import ROWS, put
from bench.system import TICKETSYNC, TOKEN, System, running_services, running_system, say
from schemas.events import CloudTicketUpdated, RecordingTransferred, TicketLinked

SERVICES = ("linker", "transfer", "cloud_updater")
LOOKS = {
    "linker": (
        "/status",
        "/statistics",
        "/statistics/folders?limit=1000",
        "/folders?limit=1000",
        "/recordings?limit=1000",
        "/recordings?state=in_sync&limit=1000",
        "/recording-ids",
        "/imports",
        "/metrics",
    ),
    "transfer": ("/status", "/folders?limit=1000", "/blocked?limit=10000", "/recordings/bench-1-1", "/metrics"),
    "cloud_updater": ("/status", "/folders?limit=1000", "/blocked?limit=10000", "/recordings/bench-1-1", "/metrics"),
}


async def memory(recordings: int, *, uploads: int, rows: int) -> dict[str, float]:
    """Largest memory of each service in MB, by its name, and of linker once it has imported as well."""
    async with running_system() as system:
        await asyncio.gather(*(_filled(system, service, recordings) for service in SERVICES))
        say(f"memory: {recordings:,} recordings are in the tables")
        async with running_services(system, SERVICES):
            _say("started", system)
            await _upload(system, uploads)
            _say("uploads", system)
            linked = _recordings(uploads, rows)
            await _told(system, rows, publish(system.kafka_bootstrap_servers, requested(linked)))
            _say("links", system)
            await _resync(system)
            _say("resync", system)
            await _look(system)
            _say("lists", system)
            sizes = _sizes(system)
            file = system.folder / "tickets.csv"
            _write(file, linked)
            await _told(system, rows, import_file(system, file))
            _say("import", system)
            return {**sizes, "linker_with_import": largest_mb(system.pids["linker"])}


async def _filled(system: System, service: str, recordings: int) -> None:
    command = [TICKETSYNC, "migrate", service.replace("_", "-")]
    migrating = await asyncio.create_subprocess_exec(*command, env=system.environment)
    if code := await migrating.wait():
        raise RuntimeError(f"{' '.join(command)} ended with {code}")
    uuids = [f"bench-uuid-{number}" for number in range(recordings // FILES_PER_FOLDER)]
    await put(system.database_url(service), ROWS[service], uuids, FILES_PER_FOLDER)


async def _upload(system: System, uploads: int) -> None:
    topic = RecordingTransferred.__name__
    async with written(system, topic) as transferred:
        await publish(system.kafka_bootstrap_servers, processed(uploads, run="new", requires_ticket=False))
        while await transferred() < uploads:  # noqa: ASYNC110  # other processes
            await asyncio.sleep(BEAT_S)
    for service in SERVICES:
        await folded(system, service, topic)


async def _told(system: System, links: int, work: Awaitable[None]) -> None:
    """Do this work, which links so many recordings, and wait until the cloud and all services know of it."""
    await seen(system, "again")
    await work
    await received(system, links)
    for service in SERVICES:
        await folded(system, service, TicketLinked.__name__)
    for service in ("linker", "cloud_updater"):
        await folded(system, service, CloudTicketUpdated.__name__)


def _recordings(uploads: int, number: int) -> list[str]:
    new = [f"new-{number}" for number in range(min(uploads, number // 2))]
    return new + [f"bench-{1 + n // FILES_PER_FOLDER}-{1 + n % FILES_PER_FOLDER}" for n in range(number - len(new))]


def _write(path: Path, recordings: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["recording_id", "ticket_id", "customer_name", "agent_name"])
        table.writerows([one, f"of-{one}", "John Doe", "Agent Smith"] for one in recordings)


async def _resync(system: System) -> None:
    await _asked(system, "cloud_updater", "POST", "/resyncs/plan", {"all": True, "force": True})
    await _asked(system, "cloud_updater", "POST", "/resyncs", {"all": True, "request_id": "memory"})
    while '"done_at":null' in await _asked(system, "cloud_updater", "GET", "/resyncs/memory"):  # noqa: ASYNC110
        await asyncio.sleep(BEAT_S)


async def _look(system: System) -> None:
    for service, paths in LOOKS.items():
        for path in paths:
            await _asked(system, service, "GET", path)


async def _asked(system: System, service: str, method: str, path: str, body: dict[str, object] | None = None) -> str:
    url, headers = f"{system.service_urls[service]}{path}", {"Authorization": f"Bearer {TOKEN}"}
    answer = await system.http.request(method, url, json=body, headers=headers, timeout=60)
    answer.raise_for_status()
    return answer.text


def _sizes(system: System) -> dict[str, float]:
    return {service: largest_mb(system.pids[service]) for service in SERVICES}


def _say(after: str, system: System) -> None:
    say(f"memory, {after}: " + ", ".join(f"{service} {size:.0f}" for service, size in _sizes(system).items()) + " MB")


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description="Measure memory alone.")
    parser.add_argument("--recordings", type=int, default=1_000_000, help="in the tables (default: %(default)s)")
    parser.add_argument("--uploads", type=int, default=50_000, help="new recordings (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of the import (default: %(default)s)")
    given = parser.parse_args()
    if given.rows > given.recordings:
        parser.error("--rows: at most as many as --recordings, or some would wait for theirs")
    asyncio.run(memory(given.recordings, uploads=given.uploads, rows=given.rows))


if __name__ == "__main__":
    main()
