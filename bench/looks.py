"""How long an operator waits for the commands that look at many recordings, and how large they get.

    ticketsync up --data-dir data &
    python -m bench.fill data --folders 2000 --files 100
    python -m bench.looks data

Each command runs as a process of its own, its start included, once to warm up and then in some rounds; the median and
the longest are told. Long ones run once. The recordings are those that bench.fill has made.
"""

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

TICKETSYNC = str(Path(sys.executable).parent / "ticketsync")
# A process counts the memory of the one that started it as its own until it is larger, so nothing large is loaded here.
FINDING = 1
LONG = {"verify --all", "transfer list", "recordings --format csv"}
COMMANDS = {
    "status": ["status", "--json"],
    "status --folder F": ["status", "--folder", "bench-7", "--json"],
    "explain R": ["explain", "bench-7-3", "--json"],
    "explain TICKET (all have it)": ["explain", "TKT-1", "--json"],
    "recordings --blocked any": ["recordings", "--blocked", "any", "--json"],
    "resync --all --dry-run": ["resync", "--all", "--dry-run", "--json"],
    "resync --all --force --dry-run": ["resync", "--all", "--force", "--dry-run", "--json"],
    "resync --folder F --dry-run": ["resync", "--folder", "bench-7", "--dry-run", "--json"],
    "resync --since T --force --dry-run": [
        *("resync", "--since", "2000-01-01T00:00:00Z", "--force", "--dry-run", "--json")
    ],
    "resync --state in_sync --force --dry-run": ["resync", "--state", "in_sync", "--force", "--dry-run", "--json"],
    "verify --all": ["verify", "--all", "--json"],
    "transfer list": ["transfer", "list", "--json"],
    "recordings --format csv": ["recordings", "--format", "csv"],
}


def looked(data_dir: Path, arguments: list[str]) -> tuple[float, float, float]:
    """Seconds, of them the command's own CPU, and its largest memory in MB."""
    environment = {**os.environ, "TICKETSYNC_DATA_DIR": str(data_dir)}
    began_at = time.monotonic()
    with Path(os.devnull).open("wb") as nowhere:
        pid = os.posix_spawn(
            TICKETSYNC,
            [TICKETSYNC, *arguments],
            environment,
            file_actions=[(os.POSIX_SPAWN_DUP2, nowhere.fileno(), one) for one in (1, 2)],
        )
        _, status, used = os.wait4(pid, 0)
    if os.waitstatus_to_exitcode(status) > FINDING:
        raise SystemExit(f"{' '.join(arguments)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began_at, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_dir", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    print(f"{'command':42}{'median s':>10}{'longest s':>10}{'CPU s':>8}{'MB':>8}")
    for name, arguments in COMMANDS.items():
        rounds = 1 if name in LONG else given.rounds
        if name not in LONG:
            looked(given.data_dir, arguments)
        seen = [looked(given.data_dir, arguments) for _ in range(rounds)]
        took, cpu, memory = (list(figures) for figures in zip(*seen, strict=True))
        middle = statistics.median(took)
        print(f"{name:42}{middle:10.2f}{max(took):10.2f}{statistics.median(cpu):8.2f}{max(memory):8.0f}")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
