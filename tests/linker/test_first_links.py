"""Rows of recordings that had no link when their file was accepted: whatever has come between is not overlooked."""

import asyncio
import csv
import io

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from schemas.events import TicketDetails
from services.linker.decisions import KnownRecording, ticket_info
from shared.database import is_transient
from tests.linker.given import a_fact, a_recording, a_request, after_noon
from tests.linker.importing import accepted, imported, outcomes, rows_of
from tests.linker.running import Linker
from tests.linker.test_lock_order import one_waits

FILE = "filename,ticket_id,customer\nR1.wav,T-1,Ann\nR2.wav,T-2,\n"


async def apply(linker: Linker, import_id: str) -> list[tuple[int, str]]:
    while await linker.import_lot():
        pass
    return outcomes(await rows_of(linker, import_id))


async def ticket(linker: Linker, recording_id: str = "R1") -> dict[str, str]:
    (row,) = await linker.rows("select ticket::jsonb as ticket from link where recording_id = :id", id=recording_id)
    found: dict[str, str] = row["ticket"]
    return found


async def test_a_first_link_is_stored_as_any_other(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    rows = await imported(linker, FILE, linked_by="Eve")

    assert [(row["outcome"], row["recording_id"], row["link_version"]) for row in rows] == [
        ("matched", "R1", 1),
        ("matched", "R2", 1),
    ]
    stored = await linker.rows("select * from link order by recording_id")
    assert {name: stored[0][name] for name in ("link_version", "ticket_id", "folder_id", "filename", "source")} == {
        "link_version": 1, "ticket_id": "T-1", "folder_id": "F1", "filename": "R1.wav", "source": "import",
    }  # fmt: skip
    assert [row["linked_by"] for row in stored] == ["Eve", "Eve"]
    assert [row["request_id"].rpartition(":")[2] for row in stored] == ["000000002", "000000003"]
    assert all(row["last_request_id"] == row["request_id"] for row in stored)
    assert all(row["last_requested_at"] == row["requested_at"] for row in stored)
    linked_at = stored[0]["occurred_at"].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert await ticket(linker) == {
        "ticket_id": "T-1", "customer_name": "Ann", "display_name": "Ann_T1_20250129", "linked_at": linked_at,
    }  # fmt: skip
    assert await linker.unheard() == {"R1": 1, "R2": 1}


async def test_the_ticket_of_a_first_link_is_the_one_that_a_decision_would_have_made(linker: Linker) -> None:
    recordings = [a_recording("R1", recorded_at=after_noon(86_400)), a_recording("R2"), a_recording("R3")]
    await linker.fold(*recordings)
    given = [
        {"ticket_id": 'CASE"456', "customer_name": "José García", "call_intent": "测试\\"},
        {"ticket_id": "\u0958" * 100, "customer_name": "é" * 255},
        {"ticket_id": "#!"},
    ]
    file = io.StringIO()
    table = csv.DictWriter(file, ["recording_id", "ticket_id", "customer_name", "agent_name", "call_intent"])
    table.writeheader()
    table.writerows({"recording_id": f"R{number}", **ticket} for number, ticket in enumerate(given, start=1))

    rows = await imported(linker, file.getvalue())

    assert outcomes(rows) == [(2, "matched"), (3, "matched"), (4, "matched")]
    links = await linker.rows("select ticket, occurred_at from link order by recording_id")
    assert [link["ticket"] for link in links] == [
        ticket_info(
            TicketDetails.model_validate(ticket),
            KnownRecording(f"R{number}", "F1", "Monday", f"R{number}.wav", called_at),
            now=link["occurred_at"],
        ).model_dump_json()
        for number, ticket, called_at, link in zip(
            (1, 2, 3), given, (after_noon(86_400), after_noon(0), after_noon(0)), links, strict=True
        )
    ]


async def test_who_was_linked_after_the_file_was_accepted_keeps_the_newer_ticket(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    import_id = await accepted(linker, FILE)
    async with linker.api() as api:
        await api.post("/links", json={"recording_id": "R1", "ticket_info": {"ticket_id": "T-newer"}})

    assert await apply(linker, import_id) == [(2, "unchanged"), (3, "matched")]
    assert await linker.link("R1") == (1, "T-newer")


async def test_a_link_from_before_the_file_was_accepted_is_overwritten(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    import_id = await accepted(linker, FILE)
    await linker.fold(a_request("q-0", "T-older"))

    assert await apply(linker, import_id) == [(2, "overwrite"), (3, "matched")]
    assert await linker.link("R1") == (2, "T-1")


async def test_an_unlink_that_found_nothing_to_take_away_counts_as_well(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    import_id = await accepted(linker, FILE)
    async with linker.api() as api:
        await api.delete("/links", params={"recording_id": "R1"})

    assert await apply(linker, import_id) == [(2, "unchanged"), (3, "matched")]
    assert await linker.link("R1") == (0, None)


@pytest.mark.parametrize(
    ("changed", "shown"),
    [({"recorded_at": after_noon(86_400)}, "Ann_T1_20250130"), ({"filename": "new.wav"}, "Ann_T1_20250129")],
)
async def test_the_recording_counts_as_it_is_when_it_is_linked(
    linker: Linker, changed: dict[str, object], shown: str
) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    import_id = await accepted(linker, FILE)
    await linker.fold(a_recording("R1", revision=2, **changed))

    assert await apply(linker, import_id) == [(2, "matched"), (3, "matched")]
    assert (await ticket(linker))["display_name"] == shown
    (link,) = await linker.rows("select filename from link where recording_id = 'R1'")
    assert link["filename"] == changed.get("filename", "R1.wav")


async def test_the_folder_is_the_one_in_which_it_is_when_it_is_linked(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    import_id = await accepted(linker, "filename,ticket_id\nR1.wav,T-1\n")
    await linker.fold(a_recording("R1", revision=2, folder_id="F2"))

    assert await apply(linker, import_id) == [(2, "matched")]
    assert await linker.rows("select folder_id from link") == [{"folder_id": "F2"}]


async def test_a_link_that_the_topic_tells_of_meanwhile_has_the_part_decided_anew(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    import_id = await accepted(linker, FILE)

    async with linker.database.transaction() as folding:
        await linker.fold_in(folding, a_fact("R1", 7, "T-7"))
        deciding = asyncio.create_task(linker.import_lot())
        await one_waits(linker)
    with pytest.raises(IntegrityError) as raised:
        await deciding

    assert is_transient(raised.value)
    assert await apply(linker, import_id) == [(2, "overwrite"), (3, "matched")]
    assert await linker.link("R1") == (8, "T-1")


async def test_the_recordings_of_a_part_are_locked_in_their_order(linker: Linker) -> None:
    """R2 has a link and R1 has none; who has R1 and comes for R2 must not meet an import that has R2 alone."""
    await linker.fold(a_recording("R1"), a_recording("R2"))
    await linker.fold(a_request("q-0", recording_id="R2"))
    await accepted(linker, "recording_id,ticket_id\nR2,T-2\nR1,T-1\nnot-there,T-3\n")

    async with linker.database.transaction() as holder:
        await holder.execute(text("select from recording where recording_id = 'R1' for update"))
        deciding = asyncio.create_task(linker.import_lot())
        await one_waits(linker)
        free = await linker.rows("select recording_id from recording order by recording_id for update skip locked")
    await deciding

    assert [row["recording_id"] for row in free] == ["R2"]


async def test_a_dry_run_makes_no_link_and_says_the_same(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    rows = await imported(linker, FILE, dry_run=True)

    assert outcomes(rows) == [(2, "matched"), (3, "matched")]
    assert await linker.rows("select recording_id from link") == []
    assert await linker.unheard() == {}


async def test_two_names_of_a_recording_that_nobody_knew_yet_are_applied_one_after_the_other(linker: Linker) -> None:
    import_id = await accepted(linker, "filename,recording_id,ticket_id\nR1.wav,,T-1\n,R1,T-2\n")
    await linker.fold(a_recording("R1"))

    assert await apply(linker, import_id) == [(2, "matched"), (3, "overwrite")]
    assert await linker.link("R1") == (2, "T-2")
