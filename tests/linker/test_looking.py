"""What people who look find: recordings by any condition, each with its history, and how many miss their ticket."""

import json
from base64 import urlsafe_b64encode
from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from services.linker import seen_recordings
from services.linker.seen_recordings import IN_ORDER, STEP, Wanted, walk_for
from tests.linker.given import NOON, a_recording, a_request, a_transfer, an_acknowledgement
from tests.linker.importing import accepted, imported
from tests.linker.running import Linker


async def five_recordings(linker: Linker) -> None:
    """R1 linked and in sync, R2 linked and pending, R3 without its ticket, R4 without need, R5 not transferred."""
    await linker.fold(
        a_recording("R1", recorded_at="2025-01-01T10:00:00Z"),
        a_recording("R2", recorded_at="2025-01-02T10:00:00Z", filename="Anruf.wav"),
        a_recording("R3", recorded_at="2025-01-03T10:00:00Z"),
        a_recording("R4", recorded_at="2025-01-04T10:00:00Z", requires_ticket=False),
        a_recording("R5", processed_at="2025-01-05T10:00:00Z", folder_id="F2", folder_name="Tuesday"),
    )
    await linker.fold(a_transfer("R1"), a_transfer("R2", file=file("Anruf.wav")), a_transfer("R3"), a_transfer("R4"))
    await linker.fold(a_request("a", ticket_info={"ticket_id": "T-1", "customer_name": "José Ruiz"}))
    await linker.fold(
        a_request("b", recording_id="R2", ticket_info={"ticket_id": "T-2", "customer_name": 'The "best" \\ Ltd'})
    )
    await linker.fold(an_acknowledgement("R1", 1, 1))


def file(filename: str) -> dict[str, Any]:
    return {"filename": filename, "size": "1 KB", "token": 3, "transcribe": "words"}


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, ["R1", "R2", "R3", "R4", "R5"]),
        ({"folder": "F2"}, ["R5"]),
        ({"folder": "Monday", "requires_ticket": "false"}, ["R4"]),
        ({"state": "in_sync"}, ["R1"]),
        ({"state": "pending"}, ["R2"]),
        ({"state": "waiting_for_ticket"}, ["R3"]),
        ({"state": "no_ticket_needed"}, ["R4"]),
        ({"state": "not_transferred"}, ["R5"]),
        ({"ticket": "T-2"}, ["R2"]),
        ({"ticket": "T"}, []),
        ({"customer": "josé RUIZ"}, ["R1"]),
        ({"customer": "José"}, []),
        ({"customer": 'the "best" \\ Ltd'}, ["R2"]),
        ({"search": '"BEST" \\'}, ["R2"]),
        ({"search": "customer_name"}, []),
        ({"filename": "Anruf.wav"}, ["R2"]),
        ({"filename": "Anruf.wav", "folder": "F2"}, []),
        ({"ticket": "T-2", "filename": "Anruf.wav", "folder": "F1", "state": "pending", "search": "anruf"}, ["R2"]),
        ({"from": "2025-01-02T10:00:00Z", "to": "2025-01-05T11:00:00+01:00"}, ["R2", "R3", "R4"]),
        ({"from": "2025-01-04T00:00:00Z"}, ["R4", "R5"]),
        ({"to": "2025-01-02T00:00:00Z", "folder": "F1"}, ["R1"]),
        ({"search": "ANRUF"}, ["R2"]),
        ({"search": "t-1"}, ["R1"]),
        ({"search": "sé r"}, ["R1"]),
        ({"search": ".wav", "state": "not_transferred"}, ["R5"]),
        ({"search": "%"}, []),
    ],
    ids=str,
)
async def test_recordings_are_found_by_any_condition(
    linker: Linker, query: dict[str, str], expected: list[str]
) -> None:
    await five_recordings(linker)

    assert await all_pages(linker, query, limit=2) == expected


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"state": "pending"}, [["F1", "R2"]]),
        ({"ticket": "T-1"}, [["F1", "R1"]]),
        ({"from": "2025-01-04T00:00:00Z"}, [["F1", "R4"], ["F2", "R5"]]),
        ({"folder": "F1", "requires_ticket": "false"}, [["F1", "R4"]]),
        ({"search": "ANRUF"}, [["F1", "R2"]]),
    ],
    ids=str,
)
async def test_recordings_that_meet_conditions_are_named_with_their_folders(
    linker: Linker, query: dict[str, str], expected: list[list[str]]
) -> None:
    await five_recordings(linker)

    assert await all_items(linker, "/recording-ids", query, limit=1) == expected


@pytest.mark.parametrize("query", [{}, {"called_from": NOON - timedelta(days=99)}, {"folder_id": "F1"}], ids=str)
async def test_a_page_looks_at_so_many_recordings_at_most_and_the_list_goes_on(
    linker: Linker, query: dict[str, Any]
) -> None:
    await five_recordings(linker)
    pages: list[list[str]] = []
    cursor: str | None = ""
    async with linker.database.transaction() as connection:
        while cursor is not None:
            wanted = Wanted(**query, state="waiting_for_ticket", look_at=2, cursor=cursor)
            rows, cursor = await seen_recordings.recordings(connection, wanted)
            pages.append([row["recording_id"] for row in rows])

    assert pages[:2] == [[], ["R3"]]
    assert pages[2:] in ([], [[]])


async def all_pages(linker: Linker, query: dict[str, str], *, limit: int) -> list[str]:
    return [one["recording_id"] for one in await all_items(linker, "/recordings", query, limit=limit)]


async def all_items(linker: Linker, path: str, query: dict[str, str], *, limit: int) -> list[Any]:
    found: list[Any] = []
    cursor: str | None = ""
    async with linker.api() as api:
        while cursor is not None:
            answer = await api.get(path, params={**query, "limit": str(limit), "cursor": cursor})
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            cursor = answer.json()["next_cursor"]
    return found


def forged(*parts: object) -> str:
    return urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    ["R1", "ö", "A", "====", "bnVsbA", forged("id"), forged("id", 1), forged("id", "a\0b"), forged("id", "\ud800"),
     forged("folder", "F1"), forged("call", "0001-01-01T00:00:00+14:00", "R1"), forged("call", "today", "R1")],
)  # fmt: skip
async def test_a_cursor_that_no_such_list_gave_is_not_valid(linker: Linker, cursor: str) -> None:
    async with linker.api() as api:
        by_id = await api.get("/recordings", params={"cursor": cursor})
        by_call = await api.get("/recordings", params={"cursor": cursor, "from": "2025-01-01T00:00:00Z"})

    assert (by_id.status_code, by_call.status_code) == (422, 422)
    assert by_id.json()["errors"][0]["field"] == "query.cursor"


@pytest.mark.parametrize(
    "query",
    [{"from": "yesterday"}, {"from": "2025-01-01T00:00:00"}, {"to": "1735689600"}, {"state": "x"}, {"search": ""},
     {"requires_ticket": "perhaps"}, {"to": "9999-12-31T23:59:59-14:00"}, {"ticket": "a\0"}],
)  # fmt: skip
async def test_a_condition_that_makes_no_sense_is_named(linker: Linker, query: dict[str, str]) -> None:
    async with linker.api() as api:
        answer = await api.get("/recordings", params=query)

    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, f"query.{next(iter(query))}")


async def test_whatever_is_asked_no_table_is_read_as_a_whole(linker: Linker) -> None:
    async with linker.database.transaction() as connection:
        await connection.execute(
            text("""
            insert into recording (recording_id, processed_folder_id, processed_filename, requires_ticket, recorded_at,
                processed_at, revision, content_hash, transfer_version, known_transfer_version, known_link_version)
            select 'R' || n, 'F' || n / 5000, 'f' || n || '.wav', true, now(), now(), 1, '', n % 2, 1, 0
            from generate_series(1, 60000) n
        """)
        )
        await connection.execute(
            text("""
            insert into link (recording_id, link_version, ticket, ticket_id, folder_id, filename, source, request_id,
                requested_at, occurred_at, last_request_id, last_requested_at)
            select recording_id, 1, '{"ticket_id": "T", "customer_name": "C"}', 'T' || recording_id, folder_id,
                filename, 'api', recording_id, now(), now(), recording_id, now()
            from recording
        """)
        )
        await connection.execute(text("analyze recording"))
        await connection.execute(text("analyze link"))
        await connection.execute(text(IN_ORDER))
        asked: list[dict[str, Any]] = [
            {}, {"folder_id": "F3"}, {"filename": "f7.wav"}, {"ticket": "TR7"}, {"customer": "nobody"},
            {"state": "in_sync"}, {"search": "nowhere"}, {"requires_ticket": False}, {"called_from": NOON},
            {"called_before": NOON, "state": "pending"}, {"folder_id": "F3", "search": "nowhere", "limit": 1000},
        ]  # fmt: skip
        for conditions in asked:
            walk = walk_for(Wanted(**conditions, look_at=STEP), ends=True)
            end = {"end_id": "R3", "end_at": NOON} if walk.order == "call" else {"end_id": "R3"}
            for sql, more in ((walk.end, {}), (walk.page, end)):
                rows = await connection.execute(text(f"explain {sql}"), {**walk.parameters, **more})
                plan = "\n".join(row[0] for row in rows)
                assert "Index" in plan, plan
                assert "Seq Scan" not in plan, (conditions, plan)
                if sql == walk.page and conditions == {"search": "nowhere"}:
                    assert "Merge Left Join" in plan, plan  # and no look for each link
        await connection.execute(text("truncate recording, link"))


async def test_a_recording_tells_who_linked_what_when_and_how(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("q-1", "T-1", linked_by="desk"))
    await imported(linker, "filename,ticket_id\nR1.wav,T-2\n", linked_by="ann")
    async with linker.api() as api:
        await api.delete("/links", params={"recording_id": "R1", "linked_by": "bob"})
        whole = (await api.get("/recordings/R1")).json()
        newest = (await api.get("/recordings/R1", params={"versions": 2})).json()
        rest = (await api.get("/recordings/R1", params={"before_version": newest["next_before_version"]})).json()
        none = (await api.get("/recordings/R1", params={"versions": 0})).json()

    shown = [
        (one["link_version"], one["ticket_info"] and one["ticket_info"]["ticket_id"], one["source"], one["linked_by"])
        for one in whole["history"]
    ]
    assert shown == [(3, None, "api", "bob"), (2, "T-2", "import", "ann"), (1, "T-1", "event", "desk")]
    assert whole["history"][2]["request_id"] == "q-1"
    assert whole["history"][2]["requested_at"] == "2025-01-29T12:00:00Z"
    assert whole["history"][1]["import_id"]
    assert newest["history"] + rest["history"] == whole["history"]
    assert (len(newest["history"]), rest["next_before_version"], whole["next_before_version"]) == (2, None, None)
    assert (none["history"], none["next_before_version"]) == ([], None)


async def test_an_unlink_of_what_was_never_linked_is_no_version(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    async with linker.api() as api:
        await api.delete("/links", params={"recording_id": "R1"})
        assert (await api.get("/recordings/R1")).json()["history"] == []


async def test_statistics_count_what_is_linked_and_what_misses_its_ticket(linker: Linker) -> None:
    assert await look(linker, "/statistics") == {
        "recordings": 0, "linked": 0, "needs_linking": 0, "linked_percent": 0.0,
    }  # fmt: skip
    await five_recordings(linker)
    await linker.fold(an_acknowledgement("R9", 1, 1))
    await accepted(linker, "filename,ticket_id\nR3.wav,T-3\n", dry_run=True)

    assert await look(linker, "/statistics") == {
        "recordings": 5, "linked": 2, "needs_linking": 2, "linked_percent": 40.0,
    }  # fmt: skip
    assert await look(linker, "/statistics?folder=Tuesday") == {
        "recordings": 1, "linked": 0, "needs_linking": 1, "linked_percent": 0.0,
    }  # fmt: skip
    first = await look(linker, "/statistics/folders?limit=1")
    second = await look(linker, f"/statistics/folders?limit=1&cursor={first['next_cursor']}")
    assert first["items"] == [
        {"folder_id": "F1", "recordings": 4, "linked": 2, "needs_linking": 1, "linked_percent": 50.0}
    ]
    assert [one["folder_id"] for one in second["items"]] == ["F2"]
    assert await look(linker, f"/statistics/folders?cursor={second['next_cursor']}") == {
        "items": [], "next_cursor": None,
    }  # fmt: skip


async def test_folders_come_in_pages_and_may_be_asked_for_by_name(linker: Linker) -> None:
    await linker.fold(*(a_recording(f"R{n}", folder_id=f"F{n}", folder_name=f"Day {n % 2}") for n in range(5)))
    pages: list[list[str]] = []
    cursor: str | None = ""
    async with linker.api() as api:
        while cursor is not None:
            answer = (await api.get("/folders", params={"limit": 2, "cursor": cursor})).json()
            pages.append([one["folder_id"] for one in answer["items"]])
            cursor = answer["next_cursor"]
        first = (await api.get("/folders", params={"folder": "Day 0", "limit": 2})).json()
        rest = (await api.get("/folders", params={"folder": "Day 0", "cursor": first["next_cursor"]})).json()

    assert pages == [["F0", "F1"], ["F2", "F3"], ["F4"]]
    assert [[one["folder_id"] for one in page["items"]] for page in (first, rest)] == [["F0", "F2"], ["F4"]]
    assert rest["next_cursor"] is None


async def test_all_but_one_is_not_a_hundred_percent(linker: Linker) -> None:
    await linker.fold(*(a_recording(f"R{number}") for number in range(3000)))
    await linker.fold(*(a_request(f"q{number}", recording_id=f"R{number}") for number in range(1, 3000)))

    assert (await look(linker, "/statistics"))["linked_percent"] == 99.9


async def look(linker: Linker, path: str) -> dict[str, Any]:
    async with linker.api() as api:
        answer: httpx.Response = await api.get(path)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def test_what_was_heard_of_a_recording_is_shown_with_the_place_where_it_stands(linker: Linker) -> None:
    await linker.fold(a_recording("R2"), a_recording("R1"), first_offset=7)
    await linker.fold(a_transfer("R1"), a_transfer("R2"), first_offset=40)
    await linker.fold(an_acknowledgement("R1", 1, 3), first_offset=2**40)
    await linker.fold(a_recording("R1"), a_recording("R2"), first_offset=90)  # again, and nothing new

    async with linker.api() as api:
        facts = (await api.get("/recordings/R1")).json()["facts"]
        other = (await api.get("/recordings/R2")).json()["facts"]

    assert facts["processed"]["place"] == {"topic": "RecordingProcessed", "partition": 0, "offset": 8}
    assert facts["transferred"]["place"] == {"topic": "RecordingTransferred", "partition": 0, "offset": 40}
    assert facts["known"]["place"] == {"topic": "CloudTicketUpdated", "partition": 0, "offset": 2**40}
    assert facts["known"]["link_version"] == 3
    assert (other["known"]["link_version"], other["known"]["place"]) == (0, None)


async def test_the_oldest_pending_link_says_since_when_the_cloud_is_behind(linker: Linker) -> None:
    await five_recordings(linker)
    await linker.fold(a_request("later", "T-9", at=1))
    [first] = await linker.rows("select occurred_at from link where recording_id = 'R2'")

    async with linker.api() as api:
        pending = (await api.get("/status")).json()
        none_in_it = (await api.get("/status?folder=F2")).json()

    assert pending["states"]["pending"] == 2
    assert pending["oldest_pending_at"] == first["occurred_at"].isoformat().replace("+00:00", "Z")
    assert none_in_it["oldest_pending_at"] is None
