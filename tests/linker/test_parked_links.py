"""Parked links under people's eyes: how long they wait, which wait too long, and that only a person gives one up."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from prometheus_client import generate_latest

from services.linker.watch_parked import WatchParked
from shared.gate import Gate
from tests.linker.given import a_recording, a_request
from tests.linker.importing import imported
from tests.linker.running import Linker, no_topics


async def three_parked(linker: Linker) -> None:
    """a since today, b since 10 days, c since 100 days, which is too long."""
    await linker.fold(
        a_request("a", "T-a", filename="a.wav", folder="Monday", linked_by="ann"),
        a_request("b", "T-b", filename="b.wav", folder="F2"),
        a_request("c", "T-c", recording_id="R7"),
        a_request("d", None, recording_id="R8"),
    )
    await linker.match()
    for request_id, days in (("b", 10), ("c", 100)):
        await linker.rows(
            """update parked_link set parked_at = now() - make_interval(days => :days) where request_id = :id
               returning request_id""",
            id=request_id,
            days=days,
        )


async def listed(linker: Linker, **query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = ""
    async with linker.api() as api:
        while cursor is not None:
            answer = await api.get("/parked-links", params={"limit": "2", "cursor": cursor, **query})
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            cursor = answer.json()["next_cursor"]
    return found


async def test_the_oldest_comes_first_and_says_how_long_it_waits(linker: Linker) -> None:
    await three_parked(linker)

    shown = await listed(linker)

    assert [(one["request_id"], one["state"], one["age_s"] // 86400) for one in shown] == [
        ("c", "expired", 100),
        ("b", "waiting", 10),
        ("a", "waiting", 0),
    ]
    assert (shown[2]["ticket_id"], shown[2]["filename"], shown[2]["folder"]) == ("T-a", "a.wav", "Monday")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"folder": "F2"}, ["b"]),
        ({"filename": "a.wav"}, ["a"]),
        ({"recording_id": "R7"}, ["c"]),
        ({"ticket": "T-b"}, ["b"]),
        ({"linked_by": "ann"}, ["a"]),
        ({"import_id": "none"}, []),
        ({"expired": "true"}, ["c"]),
        ({"expired": "true", "ticket": "T-b"}, []),
    ],
    ids=str,
)
async def test_parked_links_are_found_by_what_was_asked_for(
    linker: Linker, query: dict[str, str], expected: list[str]
) -> None:
    await three_parked(linker)

    assert [one["request_id"] for one in await listed(linker, **query)] == expected


async def test_those_of_a_folder_are_found_by_its_id_and_by_its_name_once_it_is_known(linker: Linker) -> None:
    await three_parked(linker)
    await linker.fold(
        a_recording("R1", filename="other.wav", folder_id="F1", folder_name="Monday"),
        a_recording("R2", filename="other.wav", folder_id="F2", folder_name="Tuesday"),
    )

    assert [one["request_id"] for one in await listed(linker, folder="F1")] == ["a"]
    assert [one["request_id"] for one in await listed(linker, folder="Monday")] == ["a"]
    assert [one["request_id"] for one in await listed(linker, folder="Tuesday")] == ["b"]


async def test_those_that_wait_since_before_a_time_are_found(linker: Linker) -> None:
    await three_parked(linker)
    five_days_ago = (datetime.now(UTC) - timedelta(days=5)).isoformat()

    assert [one["request_id"] for one in await listed(linker, parked_before=five_days_ago)] == ["c", "b"]


async def test_recordings_that_fit_by_now_are_named_until_the_choice_is_made(linker: Linker) -> None:
    await linker.fold(a_request("a", filename="x"))
    await linker.fold(a_recording("R1", filename="x.wav"), a_recording("R2", filename="x.mp3", folder_id="F2"))

    [waiting] = await listed(linker)
    await linker.match()

    assert sorted(one["recording_id"] for one in waiting["candidates"]) == ["R1", "R2"]
    assert await listed(linker) == []


async def test_an_expired_link_is_counted_and_still_finds_its_recording(linker: Linker) -> None:
    await three_parked(linker)
    async with linker.api() as api:
        before = (await api.get("/status")).json()
    assert (before["parked"], before["parked_expired"]) == (3, 1)

    await linker.fold(a_recording("R7"))
    await linker.match()

    assert await linker.link("R7") == (1, "T-c")
    async with linker.api() as api:
        assert (await api.get("/status")).json()["parked_expired"] == 0


async def test_metrics_tell_how_many_wait_and_since_when_the_oldest(linker: Linker) -> None:
    assert await measured(linker) == {"waiting": 0, "expired": 0, "oldest_days": 0}
    await three_parked(linker)
    assert await measured(linker) == {"waiting": 2, "expired": 1, "oldest_days": 100}


async def measured(linker: Linker) -> dict[str, int]:
    await WatchParked(linker.settings, linker.database).step()
    lines = dict(line.rsplit(" ", 1) for line in generate_latest().decode().splitlines() if "parked_link" in line)
    return {
        "waiting": int(float(lines['ticketsync_parked_links{state="waiting"}'])),
        "expired": int(float(lines['ticketsync_parked_links{state="expired"}'])),
        "oldest_days": int(float(lines["ticketsync_oldest_parked_link_seconds"]) // 86400),
    }


async def drop(linker: Linker, *parked_ids: str) -> dict[str, int]:
    async with linker.api() as api:
        answer = await api.post(
            "/parked-links/drop", json={"parked_ids": parked_ids}, headers={"X-Requested-By": "bob"}
        )
    assert answer.status_code == 200, answer.text
    body: dict[str, int] = answer.json()
    return body


async def test_a_dropped_link_is_gone_for_good_and_the_row_says_who_did_it(linker: Linker) -> None:
    await three_parked(linker)
    [c, b, _] = await listed(linker)

    assert await drop(linker, c["parked_id"], b["parked_id"]) == {"dropped": 2, "gone": 0}
    assert await drop(linker, c["parked_id"]) == {"dropped": 0, "gone": 1}
    await linker.fold(a_request("c", "T-c", recording_id="R7"))
    await linker.fold(a_recording("R7"))
    await linker.match()

    assert await linker.link("R7") is None
    assert [one["request_id"] for one in await listed(linker)] == ["a"]
    rows = await linker.rows("select state, dropped_by from parked_link where dropped_at is not null")
    assert [tuple(row.values()) for row in rows] == [("dropped", "bob"), ("dropped", "bob")]


async def test_what_was_dropped_may_be_asked_for_anew(linker: Linker) -> None:
    await linker.fold(a_request("a"))
    [waiting] = await listed(linker)
    await drop(linker, waiting["parked_id"])

    await linker.fold(a_request("b", "T-2", at=1))
    await linker.fold(a_recording("R1"))
    await linker.match()

    assert await linker.link() == (1, "T-2")


async def test_a_request_that_took_the_place_of_the_one_that_was_seen_is_not_dropped(linker: Linker) -> None:
    await linker.fold(a_request("a"))
    [waiting] = await listed(linker)
    await linker.fold(a_request("b", "T-2", at=1))

    assert await drop(linker, waiting["parked_id"]) == {"dropped": 0, "gone": 1}
    assert await linker.parked() == ["b"]


async def test_the_same_file_parks_again_what_was_dropped_of_it(linker: Linker) -> None:
    csv = "filename,ticket_id\nx.wav,T-1\n"
    await imported(linker, csv)
    [waiting] = await listed(linker)
    await drop(linker, waiting["parked_id"])

    assert [row["outcome"] for row in await imported(linker, csv)] == ["parked"]
    assert len(await listed(linker)) == 1


@pytest.mark.parametrize(
    "body", [{}, {"parked_ids": []}, {"parked_ids": ["x"]}, {"parked_ids": [""]}, {"parked_ids": ["x"] * 1001}], ids=str
)
async def test_what_is_no_parked_link_is_not_valid(linker: Linker, body: dict[str, Any]) -> None:
    async with linker.api() as api:
        answer = await api.post("/parked-links/drop", json=body)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "parked_ids")


async def test_nothing_is_dropped_while_the_gate_is_closed(linker: Linker) -> None:
    await linker.fold(a_request("a"))
    [waiting] = await listed(linker)
    closed = Linker(linker.settings, linker.database, Gate(linker.database, ["TicketLinked"], no_topics))
    async with closed.api() as api:
        answer = await api.post("/parked-links/drop", json={"parked_ids": [waiting["parked_id"]]})

    assert (answer.status_code, await linker.parked()) == (503, ["a"])
