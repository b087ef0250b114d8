"""A thousand worlds, each with faults of its own: every promise holds in each, and every kind of fault was seen."""

from collections import Counter

import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation import runs
from tests.simulation.bugs import BUGS
from tests.simulation.machine import Machine
from tests.simulation.oracle import Violation
from tests.simulation.seams import replaced

SEEDS = 1_000
PARTS = 4  # so that workers share them
THOUGHT_OF = settings(max_examples=60, stateful_step_count=60, deadline=None, derandomize=True)


@pytest.mark.parametrize("part", range(PARTS))
def test_whatever_happens_the_promises_hold(part: int) -> None:
    fired: Counter[str] = Counter()
    ended, broken = set(), {}

    for seed in _seeds_of(part):
        run = runs.make(seed)
        fired += run.fired
        ended.add(run.seed)
        if run.violation:
            broken[seed] = run.violation

    assert broken == {}
    assert ended == _seeds_of(part)
    assert [one for one in runs.EXPECTED if not fired[one]] == []


def test_all_parts_together_are_a_thousand_seeds() -> None:
    seeds = [seed for part in range(PARTS) for seed in _seeds_of(part)]

    assert len(set(seeds)) == len(seeds) >= 1_000


def _seeds_of(part: int) -> set[int]:
    return set(range(part, SEEDS, PARTS))


def test_a_seed_is_the_same_run_whenever_it_is_asked_for() -> None:
    first, second = runs.make(7), runs.make(7)

    assert first == second
    assert runs.replay(first.shape, first.seed, first.moves) is None


@pytest.mark.timeout(600)  # what it finds it makes shorter for up to 5 minutes
def test_whatever_hypothesis_thinks_of_the_promises_hold() -> None:
    run_state_machine_as_test(Machine, settings=THOUGHT_OF)


def test_hypothesis_notices_link_requests_that_count_in_the_order_in_which_they_come() -> None:
    """Else its silence would say nothing."""
    [bug] = [one for one in BUGS if one.name == "request without order"]

    with replaced(*bug.changes), pytest.raises((Violation, AssertionError)):
        run_state_machine_as_test(Machine, settings=settings(THOUGHT_OF, phases=[Phase.generate]))
