"""A thousand worlds, each with faults of its own: every promise holds in each, and every kind of fault was seen."""

from collections import Counter

from tests.simulation import runs

SEEDS = 1_000


def test_whatever_happens_the_promises_hold() -> None:
    fired: Counter[str] = Counter()
    broken = {}

    for seed in range(SEEDS):
        run = runs.make(seed)
        fired += run.fired
        if run.violation:
            broken[seed] = run.violation

    assert broken == {}
    assert [one for one in runs.EXPECTED if not fired[one]] == []


def test_a_seed_is_the_same_run_whenever_it_is_asked_for() -> None:
    first, second = runs.make(7), runs.make(7)

    assert first == second
    assert runs.replay(first.shape, first.seed, first.moves) is None
