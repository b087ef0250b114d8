"""`python -m tests.simulation`: many seeds, one seed with its trace, or the deliberate bugs."""

import argparse
import multiprocessing
import sys
import time
from collections import Counter
from dataclasses import replace

from tests.simulation import bugs, runs


def main() -> int:
    """0: every promise held and every kind of fault was seen; for --bugs, each was caught."""
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("--seeds", type=int, default=1_000, help="how many seeds to run (default: 1000)")
    asked.add_argument("--from", type=int, default=0, dest="first", help="the first seed (default: 0)")
    asked.add_argument("--seed", type=int, help="run this one alone; if it fails, shrink it")
    asked.add_argument("--trace", action="store_true", help="with --seed: print its moves")
    asked.add_argument("--bugs", action="store_true", help="apply the deliberate bugs one at a time")
    given = asked.parse_args()
    if given.bugs:
        found = []
        for bug in bugs.BUGS:
            found.append(bugs.caught(bug))
            print(bugs.in_words(found[-1]), flush=True)
        return 0 if all(one.caught for one in found) else 1
    return _one(given.seed, trace=given.trace) if given.seed is not None else _many(given.first, given.seeds)


def _one(seed: int, *, trace: bool) -> int:
    run = runs.make(seed)
    print(f"seed {seed}: {run.shape}")
    if trace and not run.violation:
        print(*run.moves, sep="\n")
    if run.violation:
        fewer = runs.shrink(run)
        print(f"BROKEN: {run.violation}\n{len(run.moves)} moves, shrunk to {len(fewer)}:")
        print(*(run.moves if trace else fewer), sep="\n")
        print(f"shrunk, it breaks: {runs.replay(run.shape, seed, fewer)}")
    return 1 if run.violation else 0


def _many(first: int, count: int) -> int:
    """The seeds shared out to as many processes as there are cores."""
    began_s = time.monotonic()
    fired: Counter[str] = Counter()
    broken = 0
    with multiprocessing.Pool() as processes:
        for run in processes.imap_unordered(_outcome, range(first, first + count), chunksize=10):
            fired += run.fired
            if run.violation:
                broken += 1
                print(f"BROKEN: seed {run.seed}: {run.violation}", flush=True)
    missing = [one for one in runs.EXPECTED if not fired[one]]
    print(*(f"{number:>7}  {name}" for name, number in sorted(fired.items())), sep="\n")
    print(*(f"NEVER SEEN: {one}" for one in missing), sep="\n")
    print(f"{count} seeds, {broken} broken, {time.monotonic() - began_s:.1f} s")
    return 1 if broken or missing else 0


def _outcome(seed: int) -> runs.Run:
    """The run of this seed, without its moves: they are made again from the seed."""
    return replace(runs.make(seed), moves=())


if __name__ == "__main__":
    sys.exit(main())
