"""Who may call, and how often."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st

from shared import callers
from shared.callers import Rate, Tokens


def test_a_token_is_known_by_its_place_and_nothing_else_is() -> None:
    tokens = Tokens([lambda: "new", lambda: "öld"])

    assert [tokens.known(one) for one in ("new", "öld", "", "ne", "newer", "NEW")] == [0, 1, None, None, None, None]


def test_no_token_at_all_is_never_good() -> None:
    assert Tokens([str, str]).known("") is None


def test_a_minutes_worth_goes_at_once_and_the_rest_in_its_time() -> None:
    rate = Rate(3)

    assert [rate.wait_s("a", now_s=0) for _ in range(4)] == [0, 0, 0, 20]
    assert [rate.wait_s("a", now_s=19), rate.wait_s("a", now_s=20), rate.wait_s("a", now_s=20)] == [1, 0, 20]
    assert [rate.wait_s("a", now_s=1000) for _ in range(4)] == [0, 0, 0, 20]


def test_each_caller_has_a_limit_of_its_own() -> None:
    rate = Rate(1)

    assert [rate.wait_s(one, now_s=0) for one in ("a", "b", "a", "b")] == [0, 0, 60, 60]


@given(st.integers(1, 100_000), st.lists(st.floats(0, 100), max_size=200))
@example(1, [1.3279369983043168, 1.6131919619170887, 0.0])
@example(1, [1.3279369983043168, 0.0])
def test_nobody_gets_more_than_two_minutes_worth_in_any_minute_and_waiting_as_told_helps(
    per_minute: int, pauses: list[float]
) -> None:
    rate, now, passed = Rate(per_minute), 0.0, []
    for pause in pauses:
        now += pause
        if wait_s := rate.wait_s("a", now_s=now):
            assert 1 <= wait_s <= 60
            now += wait_s
            assert rate.wait_s("a", now_s=now) == 0
        passed.append(now)
    for first, later in pairwise(passed[:: 2 * per_minute]):
        assert later - first >= 60 - 1e-3


def test_only_so_many_callers_are_remembered() -> None:
    rate = Rate(1)
    for number in range(callers.CALLERS_MAX + 1):
        rate.wait_s(str(number), now_s=0)

    assert rate.wait_s("0", now_s=0) == 0
    assert rate.wait_s(str(callers.CALLERS_MAX), now_s=0) == 60
