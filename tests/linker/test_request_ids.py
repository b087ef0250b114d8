"""One request_id for several recordings, and the same request again: what senders do and what a lost database does."""

from tests.linker.given import a_fact, a_recording, a_request, after_noon
from tests.linker.running import Linker


async def settled(linker: Linker) -> list[tuple[str | None, str, str | None]]:
    """(what was named, state, applied_to) of all that were ever parked."""
    rows = await linker.rows("""
        select coalesce(recording_id, filename) as named, state, applied_to from parked_link order by 1
    """)
    return [(row["named"], row["state"], row["applied_to"]) for row in rows]


async def test_one_request_id_for_two_recordings_that_nobody_knows_links_both(linker: Linker) -> None:
    await linker.fold(a_request("q", "T-1", recording_id="R1"), a_request("q", "T-2", recording_id="R2"))
    await linker.fold(a_request("q", "T-3", filename="x.wav"))
    async with linker.api() as api:
        first = (await api.get("/parked-links", params={"limit": 2})).json()
        rest = (await api.get("/parked-links", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    assert sorted(one["ticket_id"] for one in first["items"] + rest["items"]) == ["T-1", "T-2", "T-3"]

    await linker.fold(a_recording("R1"), a_recording("R2"), a_recording("R3", filename="x.wav"))
    await linker.match()

    assert await linker.link("R1") == (1, "T-1")
    assert await linker.link("R2") == (1, "T-2")
    assert await linker.link("R3") == (1, "T-3")
    assert await settled(linker) == [("R1", "applied", "R1"), ("R2", "applied", "R2"), ("x.wav", "applied", "R3")]


async def test_a_request_that_is_delivered_again_is_applied_once(linker: Linker) -> None:
    request = a_request("q", "T-1", recording_id="R1")
    await linker.fold(request, request)
    await linker.fold(request)
    assert await linker.parked() == ["q"]

    await linker.fold(a_recording("R1"))
    await linker.match()
    await linker.fold(request)
    await linker.match()

    assert await linker.link() == (1, "T-1")
    assert await settled(linker) == [("R1", "applied", "R1")]


async def test_a_request_that_is_made_again_later_under_its_id_still_waits(linker: Linker) -> None:
    for at in (1, 2):
        await linker.fold(a_request("q", f"T-{at}", at=at, recording_id="R1"))
    assert await linker.parked() == ["q"]

    await linker.fold(a_recording("R1"))
    await linker.match()

    assert await linker.link() == (1, "T-2")


async def test_an_announced_link_settles_only_the_request_that_made_it(linker: Linker) -> None:
    await linker.fold(a_recording("R9", folder_id="F9", folder_name="Friday"))
    await linker.fold(
        a_request("q", "T-1", recording_id="R1"),
        a_request("q", "T-2", recording_id="R2"),
        a_request("q", "T-3", filename="x.wav", folder="F1"),
        a_request("q", "T-4", filename="x.wav", folder="F2"),
        a_request("q", "T-5", filename="y", folder="Friday"),
        a_request("q", "T-6", filename="y.mp3"),
    )

    await linker.fold(a_fact("R1", 1, "T-1", request_id="q"), a_fact("R3", 1, "T-3", request_id="q", filename="x.wav"))
    await linker.fold(a_fact("R5", 1, "T-5", request_id="q", filename="y.wav", folder_id="F9"))

    rows = await linker.rows("""
        select cast(ticket as jsonb) ->> 'ticket_id' as ticket_id, applied_to from parked_link
        where state = 'applied' order by 1
    """)
    assert [tuple(row.values()) for row in rows] == [("T-1", "R1"), ("T-3", "R3"), ("T-5", "R5")]
    assert await linker.parked() == ["q", "q", "q"]


async def test_after_a_loss_a_request_by_name_goes_where_its_link_was_announced(linker: Linker) -> None:
    """Own facts are read first, then requests, and which recording of that name arrives first may be another one."""
    await linker.fold(
        a_fact("R2", 1, "T-1", request_id="q", requested_at=after_noon(0), filename="x.wav", folder_id="F2")
    )
    await linker.fold(a_request("q", "T-1", filename="x.wav"))
    await linker.fold(a_recording("R1", filename="x.wav", folder_id="F1"))
    await linker.match()
    await linker.fold(a_recording("R2", filename="x.wav", folder_id="F2"))
    await linker.match()

    again = await linker.fold(a_request("q", "T-1", filename="x.wav"))

    assert again.refused == ()
    assert (await linker.link("R1"), await linker.link("R2")) == (None, (1, "T-1"))
    assert await linker.parked() == []


async def test_after_a_loss_a_request_id_that_made_another_recordings_link_still_waits_for_its_own(
    linker: Linker,
) -> None:
    await linker.fold(a_fact("R1", 1, "T-1", request_id="q", requested_at=after_noon(0)))
    await linker.fold(a_request("q", "T-1", recording_id="R1"), a_request("q", "T-2", recording_id="R2"))
    await linker.fold(a_recording("R1"), a_recording("R2"))
    await linker.match()

    assert (await linker.link("R1"), await linker.link("R2")) == ((1, "T-1"), (1, "T-2"))
    assert await linker.parked() == []
