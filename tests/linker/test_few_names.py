"""A catalogue of few folders, or of few filenames, costs a request and an arrival no more than one of many.

Where a value is that of a third of the table, PostgreSQL expects to meet it within a few rows, and would read all of
them for one that nobody has.
"""

import pytest

from services.linker.store_candidates import Candidates
from services.linker.target import Target
from tests.counting import counting
from tests.linker.given import a_fact, a_recording, a_request
from tests.linker.growing import add_recordings
from tests.linker.running import Linker

pytestmark = pytest.mark.servers

MANY, FEW, ASKED = 20_000, 3, 20
SOME = 40 * ASKED


@pytest.fixture
def linker(fresh_linker: Linker) -> Linker:
    return fresh_linker


@pytest.fixture(params=[(FEW, MANY), (MANY, FEW), (FEW, FEW)], ids=["few folders", "few filenames", "few of both"])
async def catalogue(linker: Linker, request: pytest.FixtureRequest) -> Linker:
    folders, filenames = request.param
    await add_recordings(
        linker,
        "select 'old-' || n, 'folder-' || n % :folders, 'Label ' || n % :folders, 'call-' || n % :filenames || '.wav' "
        "from generate_series(1, :rows) n",
        folders=folders,
        filenames=filenames,
        rows=MANY,
    )
    await linker.change("analyze recording")
    return linker


async def test_recordings_arrive_in_folders_whose_label_is_nobodys_id(catalogue: Linker) -> None:
    await catalogue.change(
        "insert into arrival select recording_id from recording order by recording_id limit :n", n=ASKED
    )

    async with counting(catalogue.database) as counted:
        await catalogue.match()

    assert counted.looked_at("recording") <= SOME


async def test_names_that_nobody_has_are_asked_for(catalogue: Linker) -> None:
    folders = (None, "folder-1", "Label 1", "nobody's")
    names = [f"unknown-{number}{extension}" for number in range(ASKED) for extension in ("", ".wav")]
    targets = [Target(None, name, folder) for name in names for folder in folders]

    async with counting(catalogue.database) as counted, catalogue.database.transaction() as connection:
        found = await Candidates(connection).of(targets)

    assert found == [[]] * len(targets)
    assert counted.looked_at("recording") <= 4 * len(targets)


async def test_links_wait_for_a_folder_and_are_taken_back_or_announced(catalogue: Linker) -> None:
    names = [f"new-{number}" for number in range(ASKED)]
    label = "Label 1"

    async with counting(catalogue.database) as counted:
        await catalogue.fold(*(a_request(f"q-{one}", filename=f"{one}.wav", folder=label) for one in names))
        await catalogue.match()
        await catalogue.fold(a_request("back", None, at=1, filename=f"{names[0]}.wav", folder="folder-1"))
        heard = [a_fact(one, folder_id="folder-1", filename=f"{one}.wav", request_id=f"q-{one}") for one in names[1:]]
        await catalogue.fold(*heard)

    assert await catalogue.parked() == ["back"]
    assert counted.looked_at("recording") <= 3 * SOME


async def test_a_filename_that_all_folders_have_is_found_in_one_that_has_all_filenames(linker: Linker) -> None:
    for named in (
        "'a' || n, 'large', 'Label', 'other-' || n || '.wav'",
        "'b' || n, 'folder-' || n, 'Label', 'call.wav'",
    ):
        await add_recordings(linker, f"select {named} from generate_series(1, :rows) n", rows=MANY)
    await linker.change("analyze recording")
    await linker.fold(a_recording("R1", folder_id="large", filename="call.wav"))
    await linker.match()

    async with counting(linker.database) as counted:
        await linker.fold(a_request("whole", "T-1", filename="call.wav", folder="large"))
        await linker.fold(a_request("stem", "T-2", at=1, filename="call", folder="large"))

    assert await linker.link() == (2, "T-2")
    assert counted.looked_at("recording") <= SOME
