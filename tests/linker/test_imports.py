"""Imports of spreadsheets, from the upload to what became of each row."""

from dataclasses import replace

from services.linker.store_imports import Imports
from tests.linker.given import a_recording, a_request
from tests.linker.importing import accepted, imported, outcomes, rows_of
from tests.linker.running import Linker
from tests.sent import sent_to


async def test_every_row_has_an_outcome(linker: Linker) -> None:
    await linker.fold(*(a_recording(f"R{number}") for number in range(1, 5)))
    await linker.fold(a_recording("R5", filename="x.wav"), a_recording("R6", filename="x.wav", folder_id="F2"))
    await linker.fold(a_request("b", "T-old", recording_id="R2"), a_request("c", "T-3", recording_id="R3"))
    csv = "filename,ticket_id\nR1.wav,T-1\nR2.wav,T-2\nR3.wav,T-3\nx.wav,T-5\nnew.wav,T-6\nR4.wav,a\n,T\nR4.wav,T-4\n"

    import_id = await accepted(linker, csv)
    assert await linker.import_lot()
    rows = await rows_of(linker, import_id)

    assert outcomes(rows) == [
        (2, "matched"),
        (3, "overwrite"),
        (4, "unchanged"),
        (5, "ambiguous"),
        (6, "parked"),
        (7, "duplicate"),
        (8, "invalid"),
        (9, "matched"),
    ]
    assert rows[1]["replaced_ticket_id"] == "T-old"
    assert [one["recording_id"] for one in rows[3]["candidates"]] == ["R5", "R6"]
    assert rows[5]["replaced_by_line"] == 9
    assert rows[6]["field"] == "recording_name"
    async with linker.api() as api:
        receipt = (await api.get(f"/imports/{import_id}")).json()
        attention = (await api.get(f"/imports/{import_id}/rows?attention=true")).json()["items"]
    assert (receipt["status"], receipt["rows_total"], receipt["rows_done"]) == ("done", 8, 8)
    assert receipt["counts"]["matched"] == 2
    assert [row["line"] for row in attention] == [5, 8]
    assert await linker.link("R4") == (1, "T-4")


async def test_a_missing_column_keeps_a_field_and_an_empty_cell_clears_it(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    await imported(linker, "filename,ticket_id,agent,customer\nR1.wav,T-1,Bob,Ann\nR2.wav,T-1,Bob,Ann\n")

    rows = await imported(linker, "filename,ticket_id,agent\nR1.wav,T-1,\nR2.wav,T-2,Bob\n")

    assert outcomes(rows) == [(2, "overwrite"), (3, "overwrite")]
    tickets = await linker.rows("""
        select ticket::jsonb ->> 'agent_name' a, ticket::jsonb ->> 'customer_name' c from link order by recording_id
    """)
    assert tickets == [{"a": None, "c": "Ann"}, {"a": "Bob", "c": None}]
    assert outcomes(await imported(linker, "filename,ticket_id\nR1.wav,T-1\n")) == [(2, "unchanged")]


async def test_of_rows_that_name_one_recording_in_different_ways_the_last_counts(linker: Linker) -> None:
    await linker.fold(a_recording("R1", filename="\u00e9.wav"))
    ways = ["\u00e9,,", "\u00e9.wav,,", "e\u0301.wav,,", "\u00e9.wav,F1,", "\u00e9.wav,Monday,", ",,R1"]
    csv = "filename,folder,recording_id,ticket_id\n" + "".join(f"{way},T-{n}\n" for n, way in enumerate(ways))
    small = replace(linker, settings=linker.settings.model_copy(update={"import_lot_rows": 2}))

    for kept in (False, True):
        options = {"dry_run": kept, "on_existing": "keep" if kept else "overwrite"}
        rows = await imported(small, csv, **options)

        assert [(row["line"], row["outcome"]) for row in rows[:-1]] == [(line, "duplicate") for line in range(2, 7)]
        assert {row["replaced_by_line"] for row in rows[:-1]} == {7}
        assert {row["recording_id"] for row in rows} == {"R1"}
        assert outcomes(rows[-1:]) == [(7, "unchanged" if kept else "matched")]
    assert await linker.link() == (1, "T-5")


async def test_a_row_goes_to_the_recording_that_it_named_when_the_file_was_accepted(linker: Linker) -> None:
    await linker.fold(a_recording("R1", filename="x.wav"))
    import_id = await accepted(linker, "filename,ticket_id\nx.wav,T-1\n")
    await linker.fold(a_recording("R2", filename="x.wav"))
    assert await linker.import_lot()

    assert outcomes(await rows_of(linker, import_id)) == [(2, "matched")]
    assert (await linker.link("R1"), await linker.link("R2")) == ((1, "T-1"), None)


async def test_a_recording_id_is_the_same_in_whatever_folder(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    rows = await imported(linker, "recording_id,folder,ticket_id\nR1,F1,T-1\nR1,Monday,T-2\n")

    assert outcomes(rows) == [(2, "duplicate"), (3, "matched")]


async def test_an_import_goes_on_where_its_last_lot_ended_and_keeps_its_place_in_the_order(linker: Linker) -> None:
    await linker.fold(*(a_recording(f"R{number}") for number in range(5)))
    csv = "filename,ticket_id\n" + "".join(f"R{number}.wav,T-{number}\n" for number in range(5))
    small = replace(linker, settings=linker.settings.model_copy(update={"import_lot_rows": 2}))
    import_id = await accepted(small, csv)
    assert await small.import_lot()
    assert await linker.unheard() == {}

    async with linker.api() as api:
        await api.post("/links", json={"recording_id": "R4", "ticket_info": {"ticket_id": "T-newer"}})
    while await small.import_lot():
        pass

    links = await linker.rows("select link_version, ticket_id from link order by recording_id")
    assert [tuple(row.values()) for row in links] == [(1, "T-0"), (1, "T-1"), (1, "T-2"), (1, "T-3"), (1, "T-newer")]
    assert (await rows_of(linker, import_id))[4]["outcome"] == "unchanged"
    assert len(await linker.unheard()) == 5


async def test_two_lots_are_decided_at_a_time_and_the_import_is_done_with_the_last_of_them(linker: Linker) -> None:
    await linker.fold(a_recording("R1"), a_recording("R2"))
    small = replace(linker, settings=linker.settings.model_copy(update={"import_lot_rows": 1}))
    import_id = await accepted(small, "filename,ticket_id\nR1.wav,T-1\nR2.wav,T-2\n")
    async with linker.database.transaction() as other_worker:
        first = await Imports(other_worker).claim_part()
        assert first
        assert first.last_line == 2

        assert await small.import_lot()
        assert await linker.link("R2") == (1, "T-2")
        assert not await small.import_lot()
        assert await rows_of(linker, import_id) == []
        assert await linker.unheard() == {}

    assert await small.import_lot()
    assert outcomes(await rows_of(linker, import_id)) == [(2, "matched"), (3, "matched")]
    assert len(await linker.unheard()) == 2


async def test_rows_that_are_not_to_wait_are_invalid_without_their_recording(linker: Linker) -> None:
    rows = await imported(linker, "filename,ticket_id\nR1.wav,T-1\n", park=False)

    assert outcomes(rows) == [(2, "invalid")]
    assert await linker.parked() == []


async def test_parked_rows_find_their_recordings_in_the_folder_of_the_import(linker: Linker) -> None:
    assert outcomes(await imported(linker, "filename,ticket_id\nR1.wav,T-1\n", folder="F2")) == [(2, "parked")]
    await linker.fold(a_recording("R0", filename="R1.wav"), a_recording("R1", folder_id="F2"))
    await linker.match()

    assert (await linker.link("R0"), await linker.link("R1")) == (None, (1, "T-1"))


async def test_a_parked_row_keeps_the_fields_that_its_file_has_no_column_for(linker: Linker) -> None:
    """The recordings are linked under the names that they have by then."""
    rows = await imported(linker, "filename,ticket_id,agent\nnew1.wav,T-1,\nnew2.wav,T-2,Bob\n")
    assert outcomes(rows) == [(2, "parked"), (3, "parked")]
    await linker.fold(a_recording("R1"), a_recording("R2"))
    full = {"customer_name": "Ann", "agent_name": "Eve"}
    await linker.fold(
        a_request("a", recording_id="R1", ticket_info={"ticket_id": "T-1", **full}),
        a_request("b", recording_id="R2", ticket_info={"ticket_id": "T-1", **full}),
    )

    await linker.fold(
        a_recording("R1", revision=2, filename="new1.wav"), a_recording("R2", revision=2, filename="new2.wav")
    )
    await linker.match()

    assert await tickets(linker) == [("T-1", None, "Ann"), ("T-2", "Bob", None)]


async def test_a_row_that_takes_the_place_of_a_parked_one_builds_on_it(linker: Linker) -> None:
    await imported(linker, "filename,ticket_id,agent,customer\nR1.wav,T-1,Bob,Ann\nR2.wav,T-1,Bob,Ann\n")
    await imported(linker, "filename,ticket_id,agent\nR1.wav,T-1,\nR2.wav,T-2,Bob\n")

    await linker.fold(a_recording("R1"), a_recording("R2"))
    await linker.match()

    assert await tickets(linker) == [("T-1", None, "Ann"), ("T-2", "Bob", None)]


async def tickets(linker: Linker) -> list[tuple[str, str | None, str | None]]:
    """(ticket_id, agent_name, customer_name) of each recording's link."""
    rows = await linker.rows("""
        select ticket_id, ticket::jsonb ->> 'agent_name' a, ticket::jsonb ->> 'customer_name' c
        from link order by recording_id
    """)
    return [(row["ticket_id"], row["a"], row["c"]) for row in rows]


async def test_a_file_without_a_row_to_apply_is_done_at_once(linker: Linker) -> None:
    import_id = await accepted(linker, "filename,ticket_id\n,T-1\n")
    assert not await linker.import_lot()
    async with linker.api() as api:
        assert (await api.get(f"/imports/{import_id}")).json()["status"] == "done"
        assert (await api.post("/imports?filename=x.csv", content=b"nothing")).status_code == 422


async def test_imports_are_listed_the_newest_first(linker: Linker) -> None:
    ids = [await accepted(linker, f"filename,ticket_id\n{name}.wav,\n", linked_by="ann") for name in "abc"]

    async with linker.api() as api:
        first = (await api.get("/imports?limit=2")).json()
        second = (await api.get("/imports", params={"limit": 2, "cursor": first["next_cursor"]})).json()
        assert (await api.get("/imports?cursor=nobody")).status_code == 422

    assert [one["import_id"] for one in (*first["items"], *second["items"])] == ids[::-1]
    assert second["next_cursor"] is None
    assert (first["items"][0]["counts"], first["items"][0]["linked_by"]) == ({"invalid": 1}, "ann")


async def test_a_lot_takes_as_many_statements_whatever_the_number_of_its_rows(linker: Linker) -> None:
    taken = []
    for first, rows in ((0, 3), (100, 300)):
        numbers = range(first, first + rows)
        await linker.fold(*(a_recording(f"R{number}") for number in numbers))
        csv = "filename,ticket_id\n" + "".join(f"R{number}.wav,T\nnew{number}.wav,T\n" for number in numbers)
        with sent_to(linker.database) as counted:
            assert {row["outcome"] for row in await imported(linker, csv)} == {"matched", "parked"}
        taken.append(len(counted))

    assert taken[0] == taken[1] <= 60


async def test_rows_whose_names_are_the_same_in_nfc_name_the_same_recording(linker: Linker) -> None:
    composed, apart = "\u00e9.wav", "e\u0301.wav"
    lines = ["filename,folder,recording_id,ticket_id", f"{composed},,,T-2", f"{apart},F1,,T-3", f"{composed},F2,,T-4"]

    rows = await imported(linker, "\n".join([*lines, f",,{composed},T-5"]), folder="F1")

    assert [(row["line"], row["outcome"], row.get("replaced_by_line")) for row in rows] == [
        (2, "duplicate", 3),
        (3, "parked", None),
        (4, "parked", None),
        (5, "parked", None),
    ]
