"""A request that its sender makes again, because no answer came, has the place in the order that it had at first."""

from datetime import UTC, datetime, timedelta
from typing import Any

from services.linker.store_requests import CLEARED_AT_A_TIME, REMEMBERED, Requests
from services.linker.target import Target
from tests.linker.given import a_recording
from tests.linker.running import Linker


async def asked(linker: Linker, ticket: str | None, request_id: str, **named: str) -> str:
    """The outcome of a link, or of an unlink if there is no ticket."""
    async with linker.api() as api:
        if ticket is None:
            answer = await api.delete("/links", params={**named, "request_id": request_id})
        else:
            body: dict[str, Any] = {**named, "ticket_info": {"ticket_id": ticket}, "request_id": request_id}
            answer = await api.post("/links", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["outcome"])


async def test_a_link_that_is_asked_for_again_does_not_undo_a_newer_one(linker: Linker) -> None:
    await linker.fold(a_recording())
    outcomes = [
        await asked(linker, ticket, request_id, recording_id="R1")
        for ticket, request_id in (("T-1", "a"), ("T-2", "b"), ("T-1", "a"), ("T-2", "b"))
    ]

    assert outcomes == ["matched", "overwrite", "stale", "unchanged"]
    assert await linker.link() == (2, "T-2")


async def test_nor_does_one_that_had_changed_nothing(linker: Linker) -> None:
    await linker.fold(a_recording())
    outcomes = [
        await asked(linker, ticket, request_id, recording_id="R1")
        for ticket, request_id in (("T-1", "a"), ("T-1", "b"), ("T-2", "c"), ("T-1", "b"))
    ]

    assert outcomes == ["matched", "unchanged", "overwrite", "stale"]
    assert await linker.link() == (2, "T-2")


async def test_an_unlink_that_is_asked_for_again_does_not_undo_a_newer_link(linker: Linker) -> None:
    await linker.fold(a_recording())
    outcomes = [
        await asked(linker, ticket, request_id, recording_id="R1")
        for ticket, request_id in (("T-1", "a"), (None, "b"), (None, "b"), ("T-2", "c"), (None, "b"))
    ]

    assert outcomes == ["matched", "unlinked", "unchanged", "matched", "stale"]
    assert await linker.link() == (3, "T-2")


async def test_a_link_that_was_withdrawn_while_it_waited_does_not_wait_again(linker: Linker) -> None:
    outcomes = [
        await asked(linker, ticket, request_id, filename="x.wav")
        for ticket, request_id in (("T-1", "a"), ("T-1", "a"), (None, "b"), ("T-1", "a"))
    ]

    assert outcomes == ["parked", "parked", "withdrawn", "stale"]


async def test_one_request_id_for_two_recordings_is_two_requests(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    assert await asked(linker, "T-1", "a", recording_id="R1") == "matched"
    assert await asked(linker, "T-2", "b", recording_id="R2") == "matched"
    assert await asked(linker, "T-1", "a", recording_id="R2") == "overwrite"


async def test_requests_are_forgotten_after_a_while_a_few_at_a_time(linker: Linker) -> None:
    now = datetime.now(UTC)
    async with linker.database.transaction() as connection:
        requests = Requests(connection)
        for number in range(CLEARED_AT_A_TIME + 2):
            await requests.first_asked(f"old {number}", Target("R1"), now=now - REMEMBERED)
        later = now + timedelta(seconds=1)
        assert await requests.first_asked("new", Target("R1"), now=later) == later
        assert await requests.first_asked("new", Target("R1"), now=now + timedelta(hours=1)) == later

    assert await linker.rows("select request_id from api_request") == [{"request_id": "new"}]
