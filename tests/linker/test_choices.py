"""A request that names its recording by a filename goes to one recording, however often and however late it comes."""

import pytest

from tests.linker.given import a_fact, a_recording, a_request
from tests.linker.running import Linker


async def test_a_request_that_was_overwritten_and_comes_again_is_late_and_no_dead_letter(linker: Linker) -> None:
    by_name = a_request("x", "T-X", at=1, filename="a.wav")
    await linker.fold(a_recording("R1", filename="a.wav"))
    await linker.fold(by_name)
    await linker.fold(a_request("y", "T-Y", at=2, recording_id="R1"))
    await linker.fold(a_recording("R2", filename="a.wav", folder_id="F2", folder_name="Tuesday"))
    await linker.match()

    again = await linker.fold(by_name)

    assert again.refused == ()
    assert await linker.link("R1") == (2, "T-Y")
    assert await linker.link("R2") is None


async def test_a_request_that_comes_again_goes_to_no_other_recording_that_has_the_name_by_now(linker: Linker) -> None:
    by_name = a_request("x", "T-X", at=1, filename="a.wav")
    await linker.fold(a_recording("R1", filename="a.wav"))
    await linker.fold(by_name)
    await linker.fold(a_request("y", "T-Y", at=2, recording_id="R1"))
    await linker.fold(a_recording("R1", filename="b.wav", revision=2))
    await linker.fold(a_recording("R2", filename="a.wav", folder_id="F2", folder_name="Tuesday"))
    await linker.match()

    await linker.fold(by_name)
    await linker.match()

    assert await linker.link("R1") == (2, "T-Y")
    assert await linker.link("R2") is None


async def test_after_a_lost_database_an_old_request_by_name_is_a_dead_letter_unless_a_link_explains_it(
    linker: Linker,
) -> None:
    await linker.fold(a_fact("R1", 2, request_id="y"), a_fact("R3", 1, request_id="z"))

    old = await linker.fold(
        a_request("x", "T-X", at=1, filename="R1.wav"), a_request("z", "T-1", at=1, filename="R3.wav")
    )
    await linker.fold(a_recording("R2", filename="R1.wav", folder_id="F2", folder_name="Tuesday"))
    await linker.fold(a_recording("R1"), a_recording("R3"))
    await linker.match()

    assert [(one.reason, one.error.split(",")[0]) for one in old.refused] == [
        ("unlinkable", "older than linker's database")
    ]
    assert await linker.link("R2") is None
    assert await linker.parked() == []


async def test_an_old_request_by_name_waits_as_any_other_where_there_was_no_database_before(linker: Linker) -> None:
    first = await linker.fold(a_request("x", "T-X", at=1, filename="R1.wav"))
    await linker.fold(a_recording("R1"))
    await linker.match()

    assert first.refused == ()
    assert await linker.link("R1") == (1, "T-X")


@pytest.mark.parametrize("named", [{"filename": "a.wav"}, {"recording_id": "R1"}], ids=["by name", "by id"])
async def test_a_parked_link_that_was_dropped_does_not_come_back_with_its_event(
    linker: Linker, named: dict[str, str]
) -> None:
    request = a_request("x", "T-X", at=1, **named)
    await linker.fold(request)
    async with linker.api() as api:
        waiting = (await api.get("/parked-links")).json()["items"]
        await api.post("/parked-links/drop", json={"parked_ids": [one["parked_id"] for one in waiting]})
    await linker.fold(a_recording("R1", filename="a.wav"))
    await linker.match()

    again = await linker.fold(request)

    assert again.refused == ()
    assert await linker.link("R1") is None


async def test_a_parked_link_whose_place_a_newer_one_took_goes_to_no_recording_later(linker: Linker) -> None:
    older = a_request("x", "T-X", at=1, filename="a.wav")
    await linker.fold(older)
    await linker.fold(a_request("y", "T-Y", at=2, filename="a.wav"))
    await linker.fold(a_recording("R1", filename="a.wav"))
    await linker.match()
    await linker.fold(a_recording("R1", filename="b.wav", revision=2))
    await linker.fold(a_recording("R2", filename="a.wav", folder_id="F2", folder_name="Tuesday"))
    await linker.match()

    again = await linker.fold(older)
    await linker.match()

    assert again.refused == ()
    assert await linker.link("R1") == (1, "T-Y")
    assert await linker.link("R2") is None
