"""Requests and their recordings find each other, whichever comes first and however they overlap."""

import asyncio
import unicodedata

import pytest

from tests.linker.given import a_recording, a_request, a_transfer
from tests.linker.running import Linker


async def test_a_request_waits_for_its_recording(linker: Linker) -> None:
    await linker.fold(a_request("a"))
    await linker.match()
    assert (await linker.link(), await linker.parked()) == (None, ["a"])

    await linker.fold(a_recording("R1"))
    await linker.match()

    assert (await linker.link(), await linker.parked()) == ((1, "T-1"), [])
    assert await linker.rows("select state, applied_to from parked_link") == [{"state": "applied", "applied_to": "R1"}]


async def test_a_recording_known_only_by_its_transfer_is_found(linker: Linker) -> None:
    await linker.fold(a_request("a", filename="R1.wav"))
    await linker.fold(a_transfer("R1"))
    await linker.match()

    assert await linker.link() == (1, "T-1")


async def test_a_recording_that_commits_after_the_request_looked_and_before_it_parks_is_found(linker: Linker) -> None:
    async with linker.database.transaction() as first:
        await linker.fold_in(first, a_request("a"))
        await linker.fold(a_recording("R1"))
        await linker.match()
        assert await linker.link() is None
    await linker.match()

    assert (await linker.link(), await linker.parked()) == ((1, "T-1"), [])


async def test_a_request_that_parks_while_the_recording_is_stored_is_found(linker: Linker) -> None:
    async with linker.database.transaction() as first:
        await linker.fold_in(first, a_recording("R1"))
        await linker.fold(a_request("a"))
        await linker.match()
        assert (await linker.link(), await linker.parked()) == (None, ["a"])
    await linker.match()

    assert (await linker.link(), await linker.parked()) == ((1, "T-1"), [])


async def test_a_recording_that_is_renamed_while_its_arrival_is_looked_through_is_found(linker: Linker) -> None:
    await linker.fold(a_request("a", filename="new name.wav"))
    for number in range(20):
        await linker.fold(a_recording("R1", revision=2 * number + 1))
        await asyncio.gather(
            linker.match(), linker.fold(a_recording("R1", revision=2 * number + 2, filename=f"name {number}.wav"))
        )
    await asyncio.gather(linker.match(), linker.fold(a_recording("R1", revision=99, filename="new name.wav")))
    await linker.match()

    assert (await linker.link(), await linker.parked()) == ((1, "T-1"), [])


async def test_an_unlink_takes_a_parked_request_back(linker: Linker) -> None:
    await linker.fold(a_request("a", at=1))
    await linker.fold(a_request("b", None, at=2))
    await linker.fold(a_request("a", at=1))
    await linker.fold(a_recording("R1"))
    await linker.match()

    assert await linker.link() == (0, None)
    states = await linker.rows("select request_id, state from parked_link order by request_id")
    assert [tuple(row.values()) for row in states] == [("a", "withdrawn"), ("b", "applied")]


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a"), ("b", "a", "b", "a")])
async def test_of_the_requests_that_wait_the_newest_wins(linker: Linker, order: tuple[str, ...]) -> None:
    requests = {"a": a_request("a", "T-1", at=1), "b": a_request("b", "T-2", at=2)}
    for one in order:
        await linker.fold(requests[one])
    assert await linker.parked() == ["b"]

    await linker.fold(a_recording("R1"))
    await linker.match()

    assert await linker.link() == (1, "T-2")


async def test_many_at_once_may_ask_for_a_recording_that_nobody_knows(linker: Linker) -> None:
    await asyncio.gather(*(linker.fold(a_request(f"{n:02d}", f"T-{n}", at=n)) for n in range(12)))
    assert await linker.parked() == ["11"]


@pytest.mark.parametrize(
    ("given", "fits"),
    [
        ("recording_1.wav", ["R1"]),
        ("recording_1", ["R1"]),
        ("recording_1.mp3", []),
        ("Recording_1.wav", []),
        ("recording_", []),
        ("ecording_1.wav", []),
        (unicodedata.normalize("NFD", "Gespräch.wav"), ["R3"]),
        (unicodedata.normalize("NFD", "Gespräch"), ["R3"]),
        ("测试 v1.2 final", ["R4"]),
    ],
)
@pytest.mark.parametrize("request_first", [False, True])
async def test_names_are_compared_whole(linker: Linker, given: str, fits: list[str], *, request_first: bool) -> None:
    recordings = [
        a_recording("R1", filename="recording_1.wav"),
        a_recording("R2", filename="recording_10.wav"),
        a_recording("R3", filename=unicodedata.normalize("NFC", "Gespräch.wav")),
        a_recording("R4", filename="测试 v1.2 final.wav"),
    ]
    if request_first:
        await linker.fold(a_request("a", filename=given))
        await linker.fold(*recordings)
    else:
        await linker.fold(*recordings)
        await linker.fold(a_request("a", filename=given))
    await linker.match()

    linked = await linker.rows("select recording_id from link")
    assert [row["recording_id"] for row in linked] == fits


async def test_a_name_that_fits_two_recordings_is_nobodys(linker: Linker) -> None:
    await linker.fold(
        a_recording("R1", filename="x.wav"), a_recording("R2", filename="x.mp3"), a_recording("R3", folder_id="F2")
    )
    folded = await linker.fold(a_request("a", filename="x"))
    await linker.match()

    assert [letter.reason for letter in folded.refused] == ["unlinkable"]
    assert await linker.rows("select * from link") == []
    assert await linker.parked() == []


async def test_a_folder_is_its_id_or_a_name_that_only_one_has(linker: Linker) -> None:
    await linker.fold(
        a_recording("R1", filename="x.wav", folder_id="F1", folder_name="F2"),
        a_recording("R2", filename="x.wav", folder_id="F2", folder_name="Tuesday"),
        a_recording("R3", filename="x.wav", folder_id="F3", folder_name="Monday"),
        a_recording("R4", filename="x.wav", folder_id="F4", folder_name="Monday"),
    )
    await linker.fold(a_request("id", "T-id", filename="x.wav", folder="F2"))
    await linker.fold(a_request("name", "T-name", filename="x.wav", folder="Tuesday", at=1))
    both = await linker.fold(a_request("both", "T-both", filename="x.wav", folder="Monday"))

    assert await linker.link("R2") == (2, "T-name")
    assert len(both.refused) == 1
    assert [row["recording_id"] for row in await linker.rows("select recording_id from link")] == ["R2"]


async def test_a_folder_id_is_meant_before_a_folder_name_by_those_that_wait_too(linker: Linker) -> None:
    await linker.fold(a_recording("R0", folder_id="F2", folder_name="Tuesday"))
    await linker.fold(a_request("a", filename="x.wav", folder="F2"))
    await linker.fold(a_recording("R1", filename="x.wav", folder_id="F1", folder_name="F2"))
    await linker.match()
    assert await linker.parked() == ["a"]

    await linker.fold(a_recording("R2", filename="x.wav", folder_id="F2", folder_name="Tuesday"))
    await linker.match()
    assert (await linker.link("R1"), await linker.link("R2")) == (None, (1, "T-1"))


async def test_a_parked_name_goes_to_the_first_recording_and_the_choice_is_not_made_again(linker: Linker) -> None:
    request = a_request("a", filename="x.wav")
    await linker.fold(request)
    await linker.fold(a_recording("R2", filename="x.wav", folder_id="F2"))
    await linker.match()
    await linker.fold(a_recording("R1", filename="x.wav", folder_id="F1"))
    await linker.match()

    again = await linker.fold(request)

    assert again.refused == ()
    assert (await linker.link("R1"), await linker.link("R2")) == (None, (1, "T-1"))


async def test_what_is_not_to_wait_is_refused(linker: Linker) -> None:
    folded = await linker.fold(a_request("a", park=False))

    assert [letter.reason for letter in folded.refused] == ["unlinkable"]
    assert await linker.parked() == []


@pytest.mark.parametrize(
    ("parked_under", "withdrawn_under"),
    [
        (None, "F1"), (None, "Monday"), ("Monday", "F1"), ("F1", "Monday"), ("Monday", None), ("F1", None),
    ],
)  # fmt: skip
async def test_a_parked_link_is_withdrawn_under_any_spelling_of_its_folder(
    linker: Linker, parked_under: str | None, withdrawn_under: str | None
) -> None:
    await linker.fold(a_recording("R9", folder_id="F1", folder_name="Monday"))
    await linker.fold(a_request("a", "T-1", at=1, filename="x.wav", folder=parked_under))

    async with linker.api() as api:
        named = {"filename": "x.wav"} | ({"folder": withdrawn_under} if withdrawn_under else {})
        answer = (await api.delete("/links", params=named)).json()
    await linker.fold(a_recording("R1", filename="x.wav", folder_id="F1", folder_name="Monday"))
    await linker.match()

    assert answer["outcome"] == "withdrawn"
    assert await linker.link("R1") in (None, (0, None))


async def test_an_unlink_withdraws_nothing_of_another_folder_and_guesses_none(linker: Linker) -> None:
    await linker.fold(a_request("a", "T-1", at=1, filename="x.wav", folder="F1"))
    await linker.fold(a_request("b", "T-2", at=1, filename="x.wav", folder="F2"))

    async with linker.api() as api:
        answers = [
            (await api.delete("/links", params={"filename": "x.wav", **named})).status_code
            for named in ({"folder": "F3"}, {})
        ]

    assert answers == [404, 404]
    assert await linker.parked() == ["a", "b"]


@pytest.mark.parametrize("looked_through", ["arrival", "fresh_parked"])
async def test_of_a_folder_with_two_labels_that_of_the_recording_itself_counts(
    linker: Linker, looked_through: str
) -> None:
    """Whether the recording finds the link, or the link that was parked in the same moment finds the recording."""
    await linker.fold(a_request("q", "T", filename="x.wav", folder="New"))
    await linker.fold(
        a_recording("R0", folder_id="F", folder_name="New", filename="other.wav"),
        a_recording("R1", folder_id="F", folder_name="Old", filename="x.wav"),
        a_recording("R2", folder_id="G", folder_name="New", filename="x.wav"),
    )
    await linker.change(f"delete from {looked_through}")

    await linker.match()

    assert await linker.link("R1") is None
    assert await linker.link("R2") == (1, "T")
