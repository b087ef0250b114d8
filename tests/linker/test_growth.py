"""Whatever the tables hold, a fold or a step of a loop reads of them what its lot needs, by an index, and no more."""

import pytest

from schemas.events import TransferredFile
from services.linker import announce_links
from services.linker.match_parked import LOT, MatchParked
from services.linker.store_imports import Imports
from tests.counting import counting
from tests.linker.given import a_fact, a_recording, a_request, a_transfer, an_acknowledgement
from tests.linker.growing import add_recordings, begin_import, grow, park, wait_to_be_heard
from tests.linker.importing import imported
from tests.linker.running import Linker

pytestmark = pytest.mark.servers

FEW = 100


@pytest.fixture
def linker(fresh_linker: Linker) -> Linker:
    return fresh_linker


@pytest.mark.parametrize("analysed", ["", "recording, link", "parked_link, import, import_part"])
async def test_many_rows_are_never_passed_over(linker: Linker, analysed: str) -> None:
    """Plans that were made while the tables were empty included: they are of the same connections."""
    for number in range(6):  # PostgreSQL keeps a plan from the sixth time on
        await work(linker, str(number))
    await grow(linker, rows=20_000)
    if analysed:
        await linker.change(f"analyze {analysed}")

    async with counting(linker.database) as counted:
        await work(linker, "last")

    assert await linker.link("last-1") == (23, "T-import")
    assert await linker.link("last-2") == (1, "T-label")
    assert await linker.link("last-3") == (2, "T-import")
    assert await linker.link("last-4") == (1, "T-parked")
    assert {table: rows for table, rows in counted.passed_over.items() if rows > FEW} == {}
    assert {table: rows for table, rows in counted.looked_up.items() if rows > 2 * FEW} == {}


async def test_a_folder_is_found_however_many_recordings_it_has(linker: Linker) -> None:
    await linker.fold(a_recording("R1", folder_id="large", folder_name="Large", filename="other.wav"))
    await add_recordings(linker, "select 'old-' || n, 'large', 'Large', n || '.wav' from generate_series(1, 20000) n")

    async with counting(linker.database) as counted:
        await linker.fold(a_request("id", "T-1", filename="other.wav", folder="large"))
        await linker.fold(a_request("label", "T-2", at=1, filename="other", folder="Large"))

    assert await linker.link() == (2, "T-2")
    assert counted.looked_at("recording") <= FEW


async def test_a_name_that_many_recordings_have_is_refused_after_a_few(linker: Linker) -> None:
    await grow(linker, rows=20_000)
    requests = [a_request(f"q{number}", "T", filename="call-1.wav") for number in range(FEW)]

    async with counting(linker.database) as counted:
        refused = (await linker.fold(*requests)).refused

    assert [one.error.partition(":")[0] for one in refused] == ["ambiguous"] * FEW
    assert counted.looked_at("recording") <= 10 * FEW


async def test_recordings_arrive_beside_many_links_that_wait_for_others_of_their_names(linker: Linker) -> None:
    """PostgreSQL expects that nothing waits, if nothing did when statistics were gathered."""
    await park(linker, rows=20_000, state="applied")
    await linker.change("analyze parked_link")
    await park(linker, rows=30_000, state="parked")
    await linker.fold(
        *(a_recording(f"R{number}", folder_id=f"F{number}", filename=f"call-{number % 5}.wav") for number in range(FEW))
    )

    async with counting(linker.database) as counted:
        await linker.match()

    assert counted.looked_at("parked_link") <= FEW
    assert counted.looked_at("recording") <= 10 * FEW


async def test_a_parked_link_is_taken_back_beside_many_of_its_name(linker: Linker) -> None:
    await park(linker, rows=20_000, state="applied")
    await linker.change("analyze parked_link")
    await park(linker, rows=30_000, state="parked")
    await linker.fold(a_request("mine", "T", filename="call-1.wav", folder="F-mine"))
    exactly = a_request("exactly", None, at=1, filename="call-1.wav", folder="F-mine")
    openly = a_request("openly", None, at=1, filename="call-1.wav")

    async with counting(linker.database) as counted:
        await linker.fold(exactly, openly)

    assert "mine" not in await linker.parked()
    assert counted.looked_at("parked_link") <= FEW


async def test_of_many_arrivals_a_lot_is_matched(linker: Linker) -> None:
    await grow(linker, rows=20_000)
    await linker.change("insert into arrival select recording_id from recording")

    async with counting(linker.database) as counted:
        await MatchParked(linker.database, linker.gate).step()

    assert await linker.rows("select count(*) as left from arrival") == [{"left": 20_000 - LOT}]
    assert counted.looked_at("arrival") <= 3 * LOT
    assert counted.looked_at("recording") <= 3 * LOT
    assert counted.looked_at("parked_link") <= FEW


@pytest.mark.parametrize("analysed", ["", "unheard_link, import"])
async def test_links_of_an_import_that_runs_are_passed_by(linker: Linker, analysed: str) -> None:
    lot = 1_000
    for import_id in ("decided", "runs"):
        await begin_import(linker, import_id, parts=1)
    await linker.change("update import set finished_at = now() where import_id = 'decided'")
    await wait_to_be_heard(linker, rows=30_000, folder="a", import_id="runs")
    await wait_to_be_heard(linker, rows=lot // 2, folder="b", import_id=None)
    await wait_to_be_heard(linker, rows=30_000, folder="c", import_id="decided")
    if analysed:
        await linker.change(f"analyze {analysed}")

    async with counting(linker.database) as counted, linker.database.transaction() as connection:
        due = await announce_links.unheard(connection, lot)

    assert [one[0] for one in due] == ["b"] * (lot // 2) + ["c"] * (lot // 2)
    assert counted.looked_at("unheard_link") <= 1.1 * lot


async def test_an_import_is_decided_without_a_look_at_those_before_and_behind_it(linker: Linker) -> None:
    await grow(linker, rows=20_000)
    for number in range(20):
        await begin_import(linker, f"new-{number:02}", parts=FEW)

    async with counting(linker.database) as counted, linker.database.transaction() as connection:
        claimed = await Imports(connection).claim_part()

    assert claimed
    assert (claimed.accepted.import_id, claimed.last_line) == ("new-00", 1)
    assert counted.looked_at("import_part") <= 3
    assert counted.looked_at("import") <= FEW


async def work(linker: Linker, name: str) -> None:
    """Everything that the folds and loops do, for the recordings of a folder of its own."""
    folder, label, other = f"F-{name}", f"Label {name}", f"G-{name}"
    recordings = [
        a_recording(f"{name}-{number}", folder_id=folder, folder_name=label, filename=f"call-{number}.wav")
        for number in range(4)
    ]
    await linker.fold(*recordings)
    await linker.match()
    await linker.fold(
        a_request(f"id-{name}", "T-id", recording_id=f"{name}-1"),
        a_request(f"folder-{name}", "T-folder", at=1, filename="call-1.wav", folder=folder),
        a_request(f"label-{name}", "T-label", filename="call-2", folder=label),
    )
    await linker.fold(a_request(f"folder-{name}", "T-folder", at=1, filename="call-1.wav", folder=folder))
    named = {"filename": "call-1.wav", "folder": other}
    async with linker.api() as api:
        for link in ({"recording_id": f"{name}-3"}, named):
            await api.post("/links", json={**link, "request_id": name, "ticket_info": {"ticket_id": "T-api"}})
        assert (await api.delete("/links", params=named)).json()["outcome"] == "withdrawn"
    facts = await linker.announced()
    for _ in range(2):
        await linker.fold(*facts)
    own = a_fact(f"{name}-1", 20, "T-own", request_id=f"own-{name}", requested_at="2025-06-01T00:00:00Z")
    older = a_fact(f"{name}-1", 21, "T-older", request_id=f"older-{name}")
    await linker.fold(own)
    await linker.fold(older)
    file = TransferredFile(filename="call-1.wav", size="1 KB", token=3, transcribe="words")
    await linker.fold(a_transfer(f"{name}-1", folder_id=folder, file=file), a_transfer(f"new-{name}", folder_id=other))
    await linker.fold(an_acknowledgement(f"{name}-1", 1, 20))
    await linker.fold(*(a_request(f"p-{name}", "T-parked", filename=f"call-{one}.wav", folder=other) for one in (4, 5)))
    await linker.fold(a_request(f"lone-{name}", "T-parked", filename=f"lone-{name}"))
    await linker.match()
    await linker.fold(a_fact(f"{name}-5", 1, folder_id=other, filename="call-5.wav", request_id=f"p-{name}"))
    await linker.fold(a_recording(f"{name}-4", folder_id=other, filename="call-4.wav"))
    await linker.fold(a_recording(f"{name}-6", folder_id=other, filename=f"lone-{name}.wav"))
    await linker.match()
    rows = (("call-1.wav", folder), ("call-3", label), ("call-9.wav", other), ("call-9.wav", "nobody's"))
    await imported(linker, "\n".join(["filename,folder,ticket_id", *(f"{one},{of},T-import" for one, of in rows)]))
    await linker.match()
    await linker.fold(*await linker.announced())
