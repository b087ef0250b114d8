"""What a link costs linker in counts that no machine changes, held to ceilings.

A ceiling is what the work takes now and some room; whoever needs more has to say so here. No count of statements has a
number of links in it: a batch takes as many for one as for a thousand.
"""

import pytest

from schemas.events import Event
from tests.counting import Counted, counting
from tests.linker.given import a_recording, a_request, a_transfer, an_acknowledgement
from tests.linker.importing import accepted
from tests.linker.running import Linker

pytestmark = pytest.mark.servers

FOLDERS, FILES = 4, 250
LINKS = FOLDERS * FILES
NAMES = [(f"F{folder}", f"F{folder}-R{number}") for folder in range(FOLDERS) for number in range(FILES)]
RECORDINGS = [a_recording(name, folder_id=folder) for folder, name in NAMES]
TRANSFERS = [a_transfer(name, folder_id=folder) for folder, name in NAMES]
ACKNOWLEDGEMENTS = [an_acknowledgement(name, 1, 1) for _, name in NAMES]
BY_ID = [a_request(f"i-{name}", f"T-{name}", recording_id=name) for _, name in NAMES]
BY_NAME = [a_request(f"n-{name}", f"U-{name}", at=1, filename=f"{name}.wav", folder=folder) for folder, name in NAMES]


@pytest.fixture(autouse=True)
async def _older_than_its_requests(linker: Linker) -> None:
    """Or requests by a filename would be dead letters."""
    await linker.change("update origin set created_at = '2020-01-01'")


async def test_a_thousand_recordings_cost_no_more_than_this(linker: Linker) -> None:
    processed = await folding(linker, *RECORDINGS)
    async with counting(linker.database) as matching:
        await linker.match()
    transferred = await folding(linker, *TRANSFERS)
    await linker.match()
    acknowledged = await folding(linker, *ACKNOWLEDGEMENTS)

    # The row of the catalogue with its six indexes, and that it arrived.
    costs(processed, statements=3, written=2 * LINKS, wal_bytes=1_150 * LINKS)
    # The recording is locked; its arrival is deleted.
    costs(matching, statements=12, written=LINKS, wal_bytes=200 * LINKS)
    # The row, on its page, so that no index is written again, and that it arrived.
    costs(transferred, statements=3, written=2 * LINKS, wal_bytes=600 * LINKS)
    # A fourth of these bytes, unless statistics are being gathered: what they can still see stays on its page.
    costs(acknowledged, statements=3, written=LINKS, wal_bytes=1_000 * LINKS)


async def test_a_thousand_links_cost_no_more_than_this(linker: Linker) -> None:
    await linker.fold(*RECORDINGS)
    await linker.match()

    linked = await folding(linker, *BY_ID)
    async with counting(linker.database) as announcing:
        facts = await linker.announced()
    heard = await folding(linker, *facts)
    replaced = await folding(linker, *BY_NAME)

    assert len(facts) == LINKS  # one record each
    # The link, and that it is to be heard; the recording is locked.
    costs(linked, statements=8, written=2 * LINKS, wal_bytes=1_000 * LINKS)
    costs(announcing, statements=2, written=0, wal_bytes=10 * LINKS)  # read, and no more
    costs(heard, statements=1, written=LINKS, wal_bytes=130 * LINKS)
    # The version before goes into the history, and to which recording the name went is written down.
    costs(replaced, statements=10, written=4 * LINKS, wal_bytes=2_000 * LINKS)


async def test_a_thousand_links_that_wait_cost_no_more_than_this(linker: Linker) -> None:
    parked = await folding(linker, *BY_NAME)
    async with counting(linker.database) as looking:
        await linker.match()
    await linker.fold(*RECORDINGS)
    async with counting(linker.database) as matching:
        await linker.match()

    assert await linker.link("F0-R0") == (1, "U-F0-R0")
    assert await linker.parked() == []
    # The request with its five indexes, and that nobody has looked for its recording yet.
    costs(parked, statements=10, written=2 * LINKS, wal_bytes=1_350 * LINKS)
    costs(looking, statements=12, written=LINKS, wal_bytes=80 * LINKS)
    # The link and that it is to be heard, the request that waits no more, and the arrival.
    costs(matching, statements=20, written=4 * LINKS, wal_bytes=1_800 * LINKS)


async def test_a_thousand_rows_of_an_import_cost_no_more_than_this(linker: Linker) -> None:
    await linker.fold(*RECORDINGS)
    await linker.match()
    parts = 2
    lines = [f"{name}.wav,{folder},T-{name}" for folder, name in NAMES]

    accepting, applying = Counted(), Counted()
    for part in range(parts):  # as a file of both has more bytes than a request may have here
        csv = "\n".join(["filename,folder,ticket_id", *lines[part::parts]])
        async with counting(linker.database) as counted:
            await accepted(linker, csv)
        add(accepting, counted)
        async with counting(linker.database) as counted:
            await linker.import_lot()
        add(applying, counted)
    async with counting(linker.database) as hearing:
        await linker.fold(*await linker.announced())

    assert await linker.link("F0-R0") == (1, "T-F0-R0")
    # A part of some thousand rows is one row, and so is its import. Each changes once more.
    costs(accepting, statements=12 * parts, written=5 * parts, wal_bytes=150 * LINKS)
    # The links, each with that it is to be heard.
    costs(applying, statements=12 * parts, written=2 * LINKS + 3 * parts, wal_bytes=1_050 * LINKS)
    costs(hearing, statements=3, written=LINKS, wal_bytes=140 * LINKS)


async def test_a_link_by_itself_takes_few_statements(linker: Linker) -> None:
    await linker.fold(a_recording("R1"))
    await linker.match()

    async with counting(linker.database) as linking, linker.api() as api:
        answer = await api.post(
            "/links", json={"request_id": "q", "recording_id": "R1", "ticket_info": {"ticket_id": "T"}}
        )
    async with counting(linker.database) as announcing:
        await linker.fold(*await linker.announced())

    assert answer.json()["outcome"] == "matched"
    assert linking.statements <= 10
    assert announcing.statements <= 3


async def test_known_facts_are_read_again_without_a_write(linker: Linker) -> None:
    waiting = [a_request(f"w-{name}", "T", filename=f"w-{name}.wav", folder=folder) for folder, name in NAMES]
    await linker.fold(*RECORDINGS)
    await linker.fold(*TRANSFERS)
    for requests in (BY_ID, BY_NAME, waiting):
        await linker.fold(*requests)
    facts = await linker.announced()
    known = (RECORDINGS, TRANSFERS, ACKNOWLEDGEMENTS, BY_ID, BY_NAME, waiting, facts)
    await linker.fold(*ACKNOWLEDGEMENTS)
    await linker.fold(*facts)
    await linker.match()

    again = [await folding(linker, *events) for events in known]

    assert [one.written for one in again] == [0] * len(known)
    assert max(one.statements for one in again) <= 10
    assert await linker.announced() == []


async def test_dead_rows_are_taken_away_early(linker: Linker) -> None:
    """Of a large table PostgreSQL would let a fifth be dead; of what waits, the dead are in front."""
    tables = await linker.rows(
        "select relname, reloptions from pg_class where relkind = 'r' and reloptions is not null"
    )
    options = {row["relname"]: set(row["reloptions"]) for row in tables}

    for table in ("recording", "link", "parked_link", "api_request"):
        assert {"autovacuum_vacuum_scale_factor=0.02", "autovacuum_analyze_scale_factor=0.02"} <= options[table]
    for table in ("unheard_link", "arrival", "fresh_parked"):
        assert {"autovacuum_vacuum_scale_factor=0", "autovacuum_vacuum_threshold=1000"} <= options[table]


async def test_a_recording_changes_without_a_new_entry_in_its_indexes(fresh_linker: Linker) -> None:
    """Its page has room for what is said of it later. Nobody gathers statistics here; that keeps old versions there."""
    await fresh_linker.fold(*RECORDINGS)
    before = await changes(fresh_linker)

    transferred = await folding(fresh_linker, *TRANSFERS)
    acknowledged = await folding(fresh_linker, *ACKNOWLEDGEMENTS)

    after = await changes(fresh_linker)
    assert after["updated"] - before["updated"] == 2 * LINKS
    assert after["in_place"] - before["in_place"] >= 0.8 * 2 * LINKS
    costs(transferred, statements=3, written=2 * LINKS, wal_bytes=600 * LINKS)
    costs(acknowledged, statements=3, written=LINKS, wal_bytes=300 * LINKS)


async def folding(linker: Linker, *events: Event) -> Counted:
    async with counting(linker.database) as counted:
        await linker.fold(*events)
    return counted


def add(total: Counted, counted: Counted) -> None:
    total.statements += counted.statements
    total.written += counted.written
    if counted.wal_bytes is not None:
        total.wal_bytes = (total.wal_bytes or 0) + counted.wal_bytes


def costs(counted: Counted, *, statements: int, written: int, wal_bytes: int) -> None:
    """No more than these."""
    assert counted.statements <= statements
    assert counted.written <= written
    if counted.wal_bytes is not None:
        assert counted.wal_bytes <= wal_bytes


async def changes(linker: Linker) -> dict[str, int]:
    async with counting(linker.database):
        pass  # all that was counted so far is told
    [row] = await linker.rows(
        "select n_tup_upd as updated, n_tup_hot_upd as in_place from pg_stat_user_tables where relname = 'recording'"
    )
    return row
