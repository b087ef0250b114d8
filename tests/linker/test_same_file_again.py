"""The same file, sent again: nothing is published twice, and what has changed since is not taken for done."""

import pytest

from tests.linker.given import a_recording, a_request
from tests.linker.importing import imported, outcomes, uploaded
from tests.linker.running import Linker

FILE = "filename,ticket_id\nR1.wav,T-1\nnew.wav,T-2\n,T-3\nR1,T-1b\n"


async def repeated(linker: Linker, content: str = FILE, **options: object) -> bool:
    """Whether the file is answered with the receipt of its first import; else it is applied once more."""
    answer = (await uploaded(linker, content, **options)).json()
    while await linker.import_lot():
        pass
    is_repeated: bool = answer["repeated"]
    return is_repeated


async def test_the_first_receipt_is_the_answer_as_long_as_all_of_it_stands(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    first = await uploaded(linker, FILE)
    while await linker.import_lot():
        pass

    again = await uploaded(linker, FILE, filename="copy.csv", linked_by="Eve")

    assert again.json() == {"import_id": first.json()["import_id"], "repeated": True}
    assert not await linker.import_lot()
    assert await linker.link() == (1, "T-1b")
    assert len(await linker.parked()) == 1


async def test_an_applied_parked_link_still_stands(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await imported(linker, FILE)
    await linker.fold(a_recording("R2", filename="new.wav"))
    await linker.match()

    assert await repeated(linker)
    assert await linker.link("R2") == (1, "T-2")


@pytest.mark.parametrize(
    "options",
    [
        {"folder": "F1"},
        {"park": False},
        {"on_existing": "keep"},
        {"map": "customer_name=ticket"},
    ],
)
async def test_another_option_makes_it_another_import(linker: Linker, options: dict[str, object]) -> None:
    await linker.fold(a_recording("R1"))
    content = "filename,ticket_id,ticket\nR1.wav,T-1,T-1\n"
    await imported(linker, content)

    assert not await repeated(linker, content, **options)


async def test_a_link_that_was_changed_since_is_made_again(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2", filename="new.wav"))
    await imported(linker, FILE)
    async with linker.api() as api:
        await api.post("/links", json={"recording_id": "R2", "ticket_info": {"ticket_id": "T-other"}})

    assert not await repeated(linker)
    assert await linker.link("R2") == (3, "T-2")
    assert await repeated(linker)


async def test_a_parked_link_that_was_withdrawn_is_parked_again(linker: Linker) -> None:
    await imported(linker, FILE)
    async with linker.api() as api:
        await api.delete("/links", params={"filename": "new.wav"})

    assert not await repeated(linker)
    assert len(await linker.parked()) == 3


async def test_a_row_whose_recording_is_there_now_is_not_taken_for_done(linker: Linker) -> None:
    content = "filename,ticket_id\nR1.wav,T-1\n"
    await linker.fold(a_recording("R0", filename="R1.wav"), a_recording("R1", folder_id="F2"))
    assert outcomes(await imported(linker, content)) == [(2, "ambiguous")]
    assert await repeated(linker, content)

    await linker.fold(a_recording("R0", revision=2, filename="R0.wav"))

    assert not await repeated(linker, content)
    assert await linker.link() == (1, "T-1")


async def test_a_refused_row_is_evaluated_anew_once_its_recording_is_there(linker: Linker) -> None:
    content = "filename,ticket_id\nR1.wav,T-1\n"
    await imported(linker, content, park=False)
    assert await repeated(linker, content, park=False)

    await linker.fold(a_recording("R1"))

    assert not await repeated(linker, content, park=False)
    assert await linker.link() == (1, "T-1")


async def test_a_dry_run_is_no_receipt(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await imported(linker, FILE, dry_run=True)

    assert not await repeated(linker)
    assert await repeated(linker)
    assert not await repeated(linker, dry_run=True)


async def test_rows_that_failed_because_of_another_ticket_still_do(linker: Linker) -> None:
    content = "filename,ticket_id\nR1.wav,T-1\n"
    await linker.fold(a_recording("R1"))
    await linker.fold(a_request("a", "T-old"))
    await imported(linker, content, on_existing="fail")

    assert await repeated(linker, content, on_existing="fail")
