"""`python -m tests.faults`: genuine servers and services under load, broken in every way that classes.py knows.

A failing run prints its seed, what it did in which order, and where the logs of every process are.
"""

import argparse
import asyncio
import logging
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.faults.bugs import PROCESS_BUGS
from tests.faults.classes import CLASSES, SHORT
from tests.faults.perform import all_in_some_order, perform


def main() -> int:
    """0: every promise was kept and every class of faults was seen; with a deliberate bug, that it was caught."""
    asked = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    asked.add_argument("--seed", type=int, default=None, help="decides the order, the load and each choice")
    asked.add_argument("--short", action="store_true", help="the form that is part of every test run")
    asked.add_argument("--only", action="append", metavar="CLASS", help="this class alone; may be repeated")
    asked.add_argument("--list", action="store_true", help="print the classes")
    asked.add_argument("--bug", default="", choices=["", *PROCESS_BUGS], help="a rule to take out of the product first")
    given = asked.parse_args()
    if given.list:
        print(*CLASSES, sep="\n")
        return 0
    # Whoever looks on has clients of his own: that a server is away, when it was put away, is no news.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    seed = random.randrange(10**6) if given.seed is None else given.seed
    order = SHORT if given.short else [(one,) for one in given.only] if given.only else all_in_some_order(seed)
    data_dir, began_s = Path(tempfile.mkdtemp(prefix="ticketsync-faults-")), time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began_s:6.1f} s  {line}", flush=True)

    say(f"seed {seed}, logs in {data_dir / 'logs'}")
    report = asyncio.run(perform(data_dir, seed, order, say=say, bug=given.bug))
    print(report.in_words(data_dir / "logs"))
    if given.bug:
        caught = any(PROCESS_BUGS[given.bug].breaks in one for one in report.broken)
        print(f"{given.bug}: {'caught' if caught else 'NOT CAUGHT'}")
        return 0 if caught else 1
    if report.good:
        shutil.rmtree(data_dir)
    return 0 if report.good else 1


if __name__ == "__main__":
    sys.exit(main())
