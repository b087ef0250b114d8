"""`make bench` and `make bench-quick`: run the measurements and print a table, also into bench/results/latest.json.

Ratios are of medians of rounds in alternation within this run: figures of different runs or machines say nothing about
each other. What a peer that cannot be had here would have shown is null, with the reason under `skipped`. `rss_mb` is
the most that each service held with `rss_recordings` in its tables beside those of the work (bench/memory.py). In a
quick run there are none beside: it is what the replay, the uploads and the reading of recordings to import took.
"""

import argparse
import asyncio
import json
import os
import platform
import sys
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.conditions import grown, least_requests, outage, replay, replicas
from bench.import_rows import import_rows
from bench.latency import celery_latency, latency
from bench.link_to_cloud import OURS, Rate, median, ours, rounds
from bench.memory import memory
from bench.peers.running import peers
from bench.system import RECEIVER_PYTHON, running_system, say
from bench.upload import upload

RESULTS = Path(__file__).parent / "results" / "latest.json"
LONGEST_S = 3_600  # whatever does not come would be waited for in vain
Figures = dict[str, float | None]


@dataclass(frozen=True)
class Size:
    """How much is measured. `growth`: how many times the recordings of the middle round are in the tables besides; 0:
    growth and replicas are not measured. `held`: recordings in the tables for memory; 0: those of the measurements.
    """

    links: int
    rounds: int
    singles: int
    rows: int
    uploads: int
    outage: int
    growth: int
    held: int


FULL = Size(
    links=200_000, rounds=3, singles=500, rows=100_000, uploads=50_000, outage=200_000, growth=10, held=1_000_000
)
QUICK = Size(links=60_000, rounds=3, singles=150, rows=50_000, uploads=10_000, outage=0, growth=0, held=0)


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure on genuine servers.")
    parser.add_argument("--quick", action="store_true", help="the main ratios and the import, in minutes")
    parser.add_argument("--links", type=int, help="links of a round, 100 to a folder")
    given = parser.parse_args()
    size = QUICK if given.quick else FULL
    if given.links:
        size = replace(size, links=given.links)

    load_before = os.getloadavg()[0]
    figures, skipped = asyncio.run(asyncio.wait_for(_measure(size), LONGEST_S))
    machine = {
        "skipped": skipped,
        "quick": given.quick,
        "links": size.links,
        "cores": os.cpu_count(),
        "load_before": load_before,
        "receiver_with_httptools": sys.executable != RECEIVER_PYTHON,
        "python": platform.python_version(),
        "measured_at": datetime.now(UTC).isoformat(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures | machine, indent=1))
    _print(figures, skipped, size)


async def _measure(size: Size) -> tuple[dict[str, object], dict[str, str]]:
    contenders = [ours(size.links), *peers(size.links)]
    skipped = {one.name: one.skipped for one in contenders if one.skipped}
    found: Figures = {}
    rss_mb: dict[str, float] = {}
    async with running_system() as system:
        rates, given_up = await rounds(system, contenders, number=size.rounds)
        skipped |= given_up
        again = await replay(system, number=size.rounds)
        rss_mb["cloud_updater"] = again.pop("cloud_updater_mb")
        found |= _ratios(rates)
        found |= again
        found["requests_ratio"] = max(one.requests for one in rates[OURS]) / least_requests(size.links)
        if size.outage:
            found |= await outage(system, size.outage)
        if size.growth:
            found |= await replicas(system, size.links)
            recordings = size.growth * size.links * (size.rounds + 1) // 2
            found |= await grown(system, size.links, recordings=recordings, number=size.rounds)
    async with running_system() as system:
        found |= await latency(system, size.singles)
        celery = next(one for one in contenders if one.name == "celery")
        if celery.name not in skipped:
            found |= await celery_latency(system, celery, size.singles)
    async with running_system() as system:
        uploaded = await upload(system, size.uploads, number=size.rounds)
    rss_mb["transfer"] = uploaded.pop("transfer_mb")
    imported = await import_rows(size.rows, number=size.rounds)
    rss_mb["linker"] = imported.pop("linker_mb")
    found.update(uploaded)
    found.update(imported)
    if size.held:
        rss_mb = await memory(size.held, uploads=size.uploads, rows=size.rows)
        found["import_linker_mb"] = rss_mb.pop("linker_with_import")
    return {**_derived(found), "rss_mb": rss_mb, "rss_recordings": size.held}, skipped


def _ratios(rates: dict[str, list[Rate]]) -> Figures:
    """Medians, and ours over each peer's."""
    medians = {name: median(of_one) for name, of_one in rates.items()}
    found: Figures = {"link_to_cloud_per_s": medians[OURS]}
    keys = {"celery": "vs_celery", "naive": "vs_naive"}
    for name in ("celery", "naive", "benthos_single", "benthos_batched"):
        found[f"{name}_per_s"] = medians.get(name)
        found[keys.get(name, f"vs_{name}")] = medians[OURS] / medians[name] if name in medians else None
    return found


def _derived(found: Figures) -> Figures:
    """Every key that there is to be, null where nothing was measured."""
    normal = found["link_to_cloud_per_s"]

    def over(one: str, other: float | None) -> float | None:
        value = found.get(one)
        return value / other if value and other else None

    return {
        **found,
        "noop_replay_vs_benthos_batched": over("noop_replay_per_s", found.get("benthos_batched_per_s")),
        "drain_ratio": over("drain_per_s", normal),
        "growth_ratio": over("grown_per_s", normal),
        "large_folder_ratio": over("large_folder_per_s", normal),
        "two_replicas_ratio": over("two_replicas_per_s", normal),
        "celery_latency_p50_ms": found.get("celery_latency_p50_ms"),
    }


def _print(figures: dict[str, object], skipped: dict[str, str], size: Size) -> None:
    table = Table(
        "figure",
        "value",
        title=f"{size.links:,} links of {size.links // 100:,} folders",
        caption="Peers that send one by one get fewer, Benthos grouped at least 200,000.",
    )
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}" if isinstance(value, float) else str(value))
    Console().print(table)
    for name, why in skipped.items():
        say(f"skipped: {name}: {why}")


if __name__ == "__main__":
    main()
