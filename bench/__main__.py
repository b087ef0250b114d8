"""`make bench`: runs the measurements and prints a table; the figures go to bench/results/latest.json as well."""

import argparse
import asyncio
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.import_rows import import_rows
from bench.link_to_cloud import latency, throughput

RESULTS = Path(__file__).parent / "results" / "latest.json"


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure on genuine servers.")
    parser.add_argument(
        "--links", type=int, default=50_000, help="links of a round; 100 to a folder (default: %(default)s)"
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="rounds, of which the median counts (default: %(default)s)"
    )
    parser.add_argument("--singles", type=int, default=300, help="links timed one by one (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=100_000, help="rows of an import (default: %(default)s)")
    given = parser.parse_args()

    figures = asyncio.run(throughput(given.links, rounds=given.rounds))
    figures |= asyncio.run(latency(given.singles))
    figures |= asyncio.run(import_rows(given.rows))

    RESULTS.parent.mkdir(exist_ok=True)
    machine = {
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "measured_at": datetime.now(UTC).isoformat(),
    }
    RESULTS.write_text(json.dumps(figures | machine, indent=1))
    table = Table(
        "figure", "value", title=f"{given.links:,} links, {given.links // 100:,} folders, median of {given.rounds}"
    )
    for name, value in figures.items():
        table.add_row(name, f"{value:,.2f}" if value < 1000 else f"{value:,.0f}")  # noqa: PLR2004
    Console().print(table)


if __name__ == "__main__":
    main()
