"""The rate of a resync that is too large for one request."""

import json

import pytest

from ops.answers.resyncs import ResyncPlan
from ops.exits import WrongInput
from ops.main import main
from ops.resync import times
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


def test_a_plan_promises_no_time_while_the_way_to_the_cloud_is_stopped(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = {"to_send": 0, "blocked": 9, "in_sync": 0, "no_ticket": 0, "not_transferred": None, "requests": 9}
    shut = {**plan, "folders_before": 50, "wait_s": None, "expected_s": None, "not_known_as": "way_is_stopped"}
    monkeypatch.setenv("API_TOKEN", "x")
    ids = Reply(body=json.dumps({"items": [["F", "r-1"]], "next_cursor": None}).encode())
    with answering(ids) as linker, answering(Reply(body=json.dumps(shut).encode())) as updater:
        monkeypatch.setenv("LINKER_URL", linker.url)
        monkeypatch.setenv("CLOUD_UPDATER_URL", updater.url)
        code = main(["resync", "--state", "pending", "--rate", "30/m", "--dry-run"])

    assert (code, "known once the way to the cloud is free" in capsys.readouterr().out) == (0, True)


def test_requests_side_by_side_wait_once_for_what_is_due_before_them() -> None:
    plan = {"to_send": 9, "blocked": 0, "in_sync": 0, "no_ticket": 0, "not_transferred": 0, "requests": 9}
    one = ResyncPlan.model_validate({**plan, "folders_before": 50, "wait_s": 100.0, "expected_s": 110.0})
    shut = ResyncPlan.model_validate({**plan, "expected_s": None, "not_known_as": "way_is_stopped"})

    assert times([one, one], [None, None])["expected_s"] == 120.0
    assert times([one, one], [2, 2])["expected_s"] == 100.0 + 270.0
    assert (times([one, shut], [2, 2])["expected_s"], times([shut], [2])["not_known_as"]) == (None, "way_is_stopped")
