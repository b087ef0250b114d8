"""How long something takes, in words."""

import pytest

from ops import show


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (59.4, "59 s"), (61, "1 min 1 s"), (7_500, "2 h 5 min"), (90_000, "1 d 1 h"), (-3, "0 s")],
)
def test_a_duration_has_two_units_at_most(seconds: float, said: str) -> None:
    assert show.duration(seconds) == said
