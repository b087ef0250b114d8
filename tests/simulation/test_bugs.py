"""The simulation can fail: each rule that is taken out of the product is missed within a few seeds."""

import pytest

from tests.simulation.bugs import BUGS, Bug, caught, in_words


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_rule_that_is_taken_out_is_missed(bug: Bug) -> None:
    found = caught(bug)

    assert found.seed is not None, in_words(found)
