"""The HTTP API: what it answers, and how it says no."""

import asyncio
from dataclasses import replace

import httpx
import pytest

from shared.gate import Gate
from tests.linker.given import a_recording, a_request
from tests.linker.running import MAX_BODY, Linker, no_topics

ROUTES = [
    ("POST", "/links"),
    ("DELETE", "/links?recording_id=R1"),
    ("GET", "/recordings"),
    ("GET", "/recordings/R1"),
    ("GET", "/folders"),
    ("GET", "/parked-links"),
    ("POST", "/parked-links/drop"),
    ("GET", "/statistics"),
    ("GET", "/statistics/folders"),
    ("GET", "/status"),
    ("POST", "/imports?filename=x.csv"),
    ("POST", "/uploads?filename=x.csv"),
    ("GET", "/uploads/U1"),
    ("POST", "/uploads/U1/imports"),
    ("DELETE", "/uploads/U1"),
    ("GET", "/imports/I1"),
    ("GET", "/imports/I1/rows"),
]
TICKET = {"ticket_id": "T-1"}


def problem(answer: httpx.Response, status: int) -> dict[str, object]:
    """The problem details of an answer that must be one."""
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    body: dict[str, object] = answer.json()
    assert (body["type"], body["status"]) == ("about:blank", status)
    return body


@pytest.mark.parametrize(("method", "path"), ROUTES)
async def test_nothing_is_answered_without_the_token(linker: Linker, method: str, path: str) -> None:
    for token in (None, "wrong", "t\xf6ken"):
        async with linker.api() as api:
            api.headers.pop("Authorization")
            headers = {} if token is None else {"Authorization": f"Bearer {token}".encode("latin-1")}
            problem(await api.request(method, path, json={}, headers=headers), 401)  # type: ignore[arg-type]


async def test_a_link_is_made_replaced_repeated_and_removed(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    async with linker.api() as api:
        body = {"recording_id": "R1", "ticket_info": {**TICKET, "customer_name": "Ann"}}
        first = (await api.post("/links", json=body)).json()
        same = (await api.post("/links", json=body)).json()
        other = (await api.post("/links", json={"filename": "R1", "ticket_info": {"ticket_id": "T-2"}})).json()
        late = (await api.post("/links", json={**body, "requested_at": "2020-01-01T00:00:00Z"})).json()
        shown = (await api.get("/recordings/R1")).json()
        gone = (await api.delete("/links", params={"recording_id": "R1"})).json()
        again = (await api.delete("/links", params={"recording_id": "R1"})).json()

    assert (first["outcome"], first["link_version"], first["display_name"]) == ("matched", 1, "Ann_T1_20250129")
    assert (same["outcome"], same["link_version"]) == ("unchanged", 1)
    assert (other["outcome"], other["link_version"], other["replaced_ticket_id"]) == ("overwrite", 2, "T-1")
    assert (late["outcome"], late["link_version"]) == ("stale", 2)
    assert (shown["ticket_info"]["ticket_id"], shown["source"], shown["state"]) == ("T-2", "api", "not_transferred")
    assert (gone["outcome"], gone["link_version"], gone["replaced_ticket_id"]) == ("unlinked", 3, "T-2")
    assert (again["outcome"], again["link_version"]) == ("unchanged", 3)


async def test_a_link_waits_is_shown_and_is_withdrawn(linker: Linker) -> None:
    async with linker.api() as api:
        parked = (await api.post("/links", json={"filename": "x.wav", "ticket_info": TICKET})).json()
        shown = (await api.get("/parked-links")).json()["items"]
        status = (await api.get("/status")).json()
        withdrawn = (await api.delete("/links", params={"filename": "x.wav"})).json()
        after = (await api.get("/parked-links")).json()["items"]
        problem(await api.delete("/links", params={"filename": "x.wav"}), 404)

    assert (parked["outcome"], withdrawn["outcome"], after) == ("parked", "withdrawn", [])
    assert [(one["filename"], one["ticket_id"]) for one in shown] == [("x.wav", "T-1")]
    assert (status["parked"], status["working"]) == (1, 1)


async def test_what_is_unknown_is_a_404(linker: Linker) -> None:
    async with linker.api() as api:
        body = {"recording_id": "R1", "ticket_info": TICKET, "park": False}
        problem(await api.post("/links", json=body), 404)
        for path in ("/recordings/R1", "/imports/I1", "/imports/I1/rows", "/status?folder=F", "/recordings?folder=F"):
            problem(await api.get(path), 404)
        for path in ("/recordings/a%00b", "/imports/a%00b", "/imports/a%00b/rows"):
            problem(await api.get(path), 404)
        assert (await api.get("/folders?folder=F")).json() == {"items": [], "next_cursor": None}


async def test_what_is_ambiguous_is_a_409_with_candidates(linker: Linker) -> None:
    await linker.fold(a_recording("R1", filename="x.wav"), a_recording("R2", filename="x.wav", folder_id="F2"))
    async with linker.api() as api:
        answers = [
            await api.post("/links", json={"filename": "x.wav", "ticket_info": TICKET}),
            await api.post("/links", json={"filename": "x.wav", "folder": "Monday", "ticket_info": TICKET}),
            await api.delete("/links", params={"filename": "x"}),
        ]
        folder = problem(await api.get("/status?folder=Monday"), 409)

    for answer in answers:
        candidates = problem(answer, 409)["candidates"]
        assert sorted(one["recording_id"] for one in candidates) == ["R1", "R2"]  # type: ignore[attr-defined]
    assert folder["candidates"] == ["F1", "F2"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'{"recording_id": "R1"}',
        b'{"ticket_info": {"ticket_id": "T"}}',
        b'{"recording_id": "R1", "filename": "x", "ticket_info": {"ticket_id": "T"}}',
        b'{"recording_id": "R1", "ticket_info": null}',
        b'{"recording_id": "R1", "ticket_info": {"ticket_id": ""}}',
        b'{"recording_id": "R\\u0000", "ticket_info": {"ticket_id": "T"}}',
        b'{"recording_id": "R\\ud800", "ticket_info": {"ticket_id": "T"}}',
        b'{"recording_id": "R1", "ticket_info": {"ticket_id": "T"}, "unknown": 1}',
        b'{"recording_id": "R1", "ticket_info": {"ticket_id": "T"}, "requested_at": "2025-01-29T12:00:00"}',
    ],
)
async def test_a_body_that_cannot_be_used_is_a_422(linker: Linker, body: bytes) -> None:
    async with linker.api() as api:
        problem(await api.post("/links", content=body, headers={"Content-Type": "application/json"}), 422)
    assert await linker.parked() == []


@pytest.mark.parametrize(
    "path",
    [
        "/recordings?folder=a%00b",
        "/recordings?filename=a%00b",
        "/recordings?cursor=a%00b",
        "/recordings?limit=0",
        "/recordings?state=unknown",
        "/folders?folder=a%00b",
        "/parked-links?cursor=a%00b",
        "/status?folder=a%00b",
        "/imports/I1/rows?after_line=99999999999",
    ],
)
async def test_a_query_that_cannot_be_used_is_a_422(linker: Linker, path: str) -> None:
    async with linker.api() as api:
        problem(await api.get(path), 422)


@pytest.mark.parametrize("query", ["", "recording_id=R1&filename=x", "recording_id=a%00b", "filename="])
async def test_an_unlink_names_exactly_one_recording(linker: Linker, query: str) -> None:
    async with linker.api() as api:
        problem(await api.delete(f"/links?{query}"), 422)


async def test_nothing_is_written_while_the_gate_is_closed(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    closed = replace(linker, gate=Gate(linker.database, ["TicketLinked"], no_topics))
    async with closed.api() as api:
        answers = [
            await api.post("/links", json={"recording_id": "R1", "ticket_info": TICKET}),
            await api.delete("/links?recording_id=R1"),
            await api.post("/imports?filename=x.csv", content=b"filename,ticket_id\nR1.wav,T-1\n"),
        ]
        assert (await api.get("/recordings/R1")).status_code == 200

    for answer in answers:
        problem(answer, 503)
        assert answer.headers["retry-after"] == "1"
    assert await linker.link() is None


@pytest.mark.parametrize("path", ["/links", "/imports?filename=x.csv"])
async def test_a_body_over_the_limit_is_a_413(linker: Linker, path: str) -> None:
    async with linker.api() as api:
        problem(await api.post(path, content=b" " * (MAX_BODY + 1)), 413)


async def test_recordings_come_in_pages(linker: Linker) -> None:
    await linker.fold(*(a_recording(f"R{number}") for number in range(5)))
    found: list[str] = []
    cursor: str | None = ""
    async with linker.api() as api:
        while cursor is not None:
            page = (await api.get("/recordings", params={"limit": 2, "cursor": cursor})).json()
            found += [one["recording_id"] for one in page["items"]]
            cursor = page["next_cursor"]
    assert found == ["R0", "R1", "R2", "R3", "R4"]


async def test_links_at_the_same_time_as_an_import_get_versions_of_their_own(linker: Linker) -> None:
    await linker.fold(*(a_recording(f"R{number}") for number in range(4)))
    csv = "recording_id,ticket_id\n" + "".join(f"R{number % 4},I-{number}\n" for number in (3, 2, 1, 0))

    async with linker.api() as api:
        assert (await api.post("/imports?filename=x.csv", content=csv)).status_code == 202

        async def link(number: int) -> httpx.Response:
            body = {"recording_id": f"R{number % 4}", "ticket_info": {"ticket_id": f"T-{number}"}}
            return await api.post("/links", json=body)

        events = [a_request(f"e-{n}", f"E-{n}", at=n, recording_id=f"R{n}") for n in (2, 0, 3, 1)]
        answers, _, _ = await asyncio.gather(
            asyncio.gather(*(link(number) for number in range(40))), linker.import_lot(), linker.fold(*events)
        )

    assert {answer.status_code for answer in answers} == {200}
    made = [answer.json() for answer in answers if answer.json()["outcome"] in {"matched", "overwrite"}]
    versions = [(one["recording_id"], one["link_version"]) for one in made]
    assert len(set(versions)) == len(versions) > 0
    for row in await linker.rows("select recording_id, link_version, ticket_id from link"):
        given = await linker.versions(row["recording_id"])
        assert [one["link_version"] for one in given] == list(range(1, row["link_version"] + 1))
        assert given[-1]["ticket_id"] == row["ticket_id"]
        assert given[-1] == max(given, key=lambda one: (one["requested_at"], one["request_id"]))


async def test_many_links_at_once_for_a_recording_that_nobody_knows_all_are_answered(linker: Linker) -> None:
    async with linker.api() as api:
        bodies = [{"filename": "x.wav", "ticket_info": {"ticket_id": f"T-{number}"}} for number in range(20)]
        answers = await asyncio.gather(*(api.post("/links", json=body) for body in bodies))

    assert {answer.status_code for answer in answers} == {200}
    assert len(await linker.parked()) == 1
