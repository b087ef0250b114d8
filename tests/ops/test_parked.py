"""What `ticketsync parked drop` ends with where nothing waits."""

import pytest

from ops.main import main
from tests.ops.answering import Reply, answering


@pytest.mark.parametrize(
    ("condition", "code"),
    [("--folder", 1), ("--filename", 1), ("--ticket", 1), ("--import", 1), ("--older-than", 0), ("--expired", 0)],
)
def test_a_decision_about_what_is_named_and_does_not_wait_is_a_finding(
    condition: str, code: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [condition] if condition == "--expired" else [condition, "30"]
    monkeypatch.setenv("API_TOKEN", "x")
    with answering(Reply(body=b'{"items": [], "next_cursor": null}')) as linker:
        monkeypatch.setenv("LINKER_URL", linker.url)
        ended = main(["parked", "drop", *words, "--yes"])

    assert (ended, "ticketsync parked list" in capsys.readouterr().err) == (code, code == 1)
