"""Lists that have a limit say whether there is more than they show."""

import json
from typing import Any

import pytest

from ops.main import main
from tests.ops.answering import Reply, answering

NOW = "2025-01-29T10:30:00Z"
LETTER = {"topic": "TicketLinked", "partition": 0, "offset": 7, "reason": "unstorable", "error": "no", "size_bytes": 1}
PARKED = {"parked_id": "p", "request_id": "q", "recording_id": None, "folder": None, "filename": "a.wav"}
IMPORT = {"import_id": "I", "filename": "a.csv", "dry_run": False, "accepted_at": NOW, "finished_at": NOW}
RESYNC = {"request_id": "q", "requested_at": NOW, "requested_by": "ann", "force": False, "recordings": None}
ITEMS: dict[str, dict[str, Any]] = {
    "dlq list": {**LETTER, "failed_at": NOW, "settled_as": None, "settled_at": None, "settled_by": None},
    "audit": {"time": NOW, "who": "ann", "what": "lane_paused", "subject": "lane", "detail": {}},
    "parked list": {**PARKED, "ticket_id": "T", "age_s": 1, "state": "waiting"},
    "imports list": {**IMPORT, "status": "done", "rows_total": 1, "rows_done": 1, "counts": {}},
    "resyncs list": {
        **RESYNC,
        "folder_id": None,
        "rate_per_minute": None,
        "state": "carried_out",
        "made_owed": 1,
        "done_at": NOW,
    },
}


@pytest.mark.parametrize("command", ITEMS)
@pytest.mark.parametrize(("limit", "more"), [(3, False), (2, True)])
def test_whether_there_is_more_is_said(
    command: str, limit: int, more: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "x")
    one, nothing = json.dumps(ITEMS[command]), Reply(body=b'{"items": [], "next_cursor": null}')
    page = Reply(body=f'{{"items": [{one}, {one}, {one}], "next_cursor": null}}'.encode())
    words = [*command.split(), "--limit", str(limit)]
    with answering(page) as asked, answering(nothing) as others:
        for name in ("LINKER_URL", "TRANSFER_URL", "CLOUD_UPDATER_URL"):
            monkeypatch.setenv(name, others.url)
        monkeypatch.setenv("CLOUD_UPDATER_URL" if command == "resyncs list" else "LINKER_URL", asked.url)
        assert main([*words, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert main(words) == 0

    assert (len(told["items"]), told["more"]) == (limit, more)
    assert ("There are more: --limit was 2." in capsys.readouterr().err) == more


def test_of_a_resync_it_is_told_how_many_it_has_found_to_push_whether_or_not_they_are_pushed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_TOKEN", "x")
    with answering(Reply(body=json.dumps({"items": [ITEMS["resyncs list"]]}).encode())) as updater:
        monkeypatch.setenv("CLOUD_UPDATER_URL", updater.url)
        assert main(["resyncs", "list"]) == 0

    heading = capsys.readouterr().out.splitlines()[0]
    assert heading.split("state")[1].strip() == "found to push"
