"""The rate of a resync that is too large for one request."""

import json

import pytest

from ops.exits import WrongInput
from ops.main import main
from ops.resync_selection import shares_of
from tests.ops.answering import Reply, answering


@pytest.mark.parametrize(
    ("rate", "requests", "shares"),
    [
        (60, [10_000], [60]),
        (60, [9_999, 9_999, 9_999], [20, 20, 20]),
        (60, [29_999, 9_999], [44, 15]),
        (3, [10_000, 10_000, 1], [1, 1, 1]),
        (60, [0, 0], [30, 30]),
        (None, [10_000, 1], [None, None]),
    ],
)
def test_resyncs_side_by_side_share_their_rate_by_what_they_have_to_send(
    rate: int | None, requests: list[int], shares: list[int | None]
) -> None:
    assert shares_of(rate, requests) == shares


def test_a_rate_of_less_than_one_for_each_is_refused_with_one_that_goes() -> None:
    with pytest.raises(WrongInput, match="2/m") as stop:
        shares_of(2, [10_000, 10_000, 1])

    assert "3/m or more" in stop.value.todo


def test_a_plan_of_several_requests_lasts_as_long_as_the_rate_for_all_of_them_has_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = {"items": [["F", f"r-{n}"] for n in range(20_001)], "next_cursor": None}
    plan = {"to_send": 100, "blocked": 0, "in_sync": 0, "no_ticket": 0, "not_transferred": 0, "requests": 100}
    at_that_rate = {**plan, "expected_s": 200.0}
    monkeypatch.setenv("API_TOKEN", "x")
    with (
        answering(Reply(body=json.dumps(ids).encode())) as linker,
        answering(Reply(body=json.dumps(at_that_rate).encode())) as updater,
    ):
        monkeypatch.setenv("LINKER_URL", linker.url)
        monkeypatch.setenv("CLOUD_UPDATER_URL", updater.url)
        assert main(["resync", "--state", "pending", "--rate", "30/m", "--dry-run", "--json"]) == 0
        planned = json.loads(capsys.readouterr().out)["plan"]
        assert main(["resync", "--state", "pending", "--rate", "2/m", "--dry-run", "--json"]) == 2

    assert (planned["requests"], planned["expected_s"]) == (300, 600.0)
