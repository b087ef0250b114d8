"""A ticket's address is http or https and nothing but, whichever way it comes in: the API, a spreadsheet, an event."""

import asyncio
import csv
import io
import json
from collections.abc import AsyncIterator

import pytest

from schemas.envelope import decode
from schemas.raw_headers import NO_HEADERS
from schemas.topics import TICKET_LINK_REQUESTED, TICKET_LINKED, Topic
from schemas.undecodable import Undecodable
from shared import migrations
from tests.linker.given import a_fact, a_recording, a_request
from tests.linker.importing import imported
from tests.linker.running import Linker, running_linker

GOOD = ["https://tickets.example.com/1?a=b#c", "HTTP://tickets.lan:8080", "https://[2001:db8::1]/1"]
BAD = [
    "javascript:alert(1)",
    "data:text/html,x",
    "file:///etc/passwd",
    "ftp://tickets.example.com/1",
    "//tickets.example.com/1",
    "tickets.example.com/1",
    "http:tickets.example.com",
    "https://user:password@tickets.example.com/",
    "https://user@tickets.example.com/",
    "https://tickets.example.com\\@evil.example/",
    "https://t.example/a b",
    "https://t.example/\r\nX-Injected: 1",
    "https://t.example/\u0085x",
    "https://t.example/" + "x" * 2031,
]


def _ticket(url: str) -> dict[str, str]:
    return {"ticket_id": "T-1", "ticket_url": url}


@pytest.fixture
async def linker(database_url: str) -> AsyncIterator[Linker]:
    await asyncio.to_thread(migrations.upgrade, "linker", database_url)
    async with running_linker(database_url) as service:
        yield service


async def test_over_the_api(linker: Linker) -> None:
    urls = [*GOOD, *BAD]
    await linker.fold(*(a_recording(f"R{n}") for n in range(len(urls))))

    async with linker.api() as api:
        bodies = [{"recording_id": f"R{n}", "ticket_info": _ticket(url)} for n, url in enumerate(urls)]
        answers = [await api.post("/links", json=body) for body in bodies]

    stored = await linker.rows(
        "select cast(ticket as json) ->> 'ticket_url' as ticket_url from link order by recording_id"
    )
    assert [row["ticket_url"] for row in stored] == GOOD
    refused = answers[len(GOOD) :]
    assert [one.status_code for one in refused] == [422] * len(BAD)
    assert {error["field"] for one in refused for error in one.json()["errors"]} == {"ticket_info.ticket_url"}
    assert [url for url, one in zip(BAD, refused, strict=True) if url in one.text] == []


async def test_in_a_spreadsheet(linker: Linker) -> None:
    urls = [*GOOD, *BAD]
    await linker.fold(*(a_recording(f"R{n}") for n in range(len(urls))))
    text = io.StringIO()
    csv.writer(text).writerows([("recording_id", "filename", "ticket_id", "ticket_url")])
    csv.writer(text).writerows((f"R{n}", f"R{n}.wav", "T-1", url) for n, url in enumerate(urls))

    rows = await imported(linker, text.getvalue())

    stored = await linker.rows(
        "select cast(ticket as json) ->> 'ticket_url' as ticket_url from link order by recording_id"
    )
    assert [row["ticket_url"] for row in stored] == GOOD
    assert [row["outcome"] for row in rows] == ["matched"] * len(GOOD) + ["invalid"] * len(BAD)
    assert {row.get("field") for row in rows[len(GOOD) :]} == {"ticket_url"}


@pytest.mark.parametrize("topic", [TICKET_LINK_REQUESTED, TICKET_LINKED])
def test_in_an_event(topic: Topic) -> None:
    event = a_request("Q1") if topic is TICKET_LINK_REQUESTED else a_fact("R1")

    def record(url: str) -> bytes:
        return json.dumps({**event.model_dump(mode="json"), "ticket_info": _ticket(url)}).encode()

    kept = [decode(topic, key=b"R1", value=record(url), headers=NO_HEADERS) for url in GOOD]
    assert [one.ticket_info.ticket_url for one in kept] == GOOD  # type: ignore[union-attr]  # both kinds have one
    for url in BAD:
        with pytest.raises(Undecodable, match=r"^schema_invalid: ticket_info.ticket_url: "):
            decode(topic, key=b"R1", value=record(url), headers=NO_HEADERS)
