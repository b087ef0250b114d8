"""More rows do not make anything cost more: no query of a fold or loop looks at rows that do not concern it.

PostgreSQL chooses by what its statistics say, so the tables are analysed when it would be misled: before they grow.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from schemas.topics import TRANSFER_DLQ
from services.transfer import seen
from services.transfer.announce_transfers import facts, unheard
from services.transfer.conclusions import Conclusions
from services.transfer.lots import MAX_FILES
from services.transfer.retries import Retries
from services.transfer.transfers import Transfers
from services.transfer.uploads import Uploads
from shared.announce_dead_letters import dead_letter_announcer
from shared.watch import WatchDeadLetters, WatchPending
from tests.counting import counting
from tests.emulator.running import Emulator
from tests.transfer.given import a_link, a_recording, a_transfer
from tests.transfer.running import Transfer, migrated, running_transfer
from tests.transfer.working import at_rest, rejected, waiting, work

pytestmark = pytest.mark.servers

MANY = 20_000


@pytest.fixture
async def transfer(database_url: str, cloud: Emulator) -> AsyncIterator[Transfer]:
    """On a new database: one that was emptied would still have the statistics of an earlier test."""
    async with running_transfer(await migrated(database_url), cloud) as service:
        yield service


async def test_many_rows_are_never_passed_over(transfer: Transfer, cloud: Emulator) -> None:
    """Plans that were made while the tables were empty included: they are of the same connections."""
    for number in range(6):  # PostgreSQL keeps a plan from the sixth time on
        await work(transfer, cloud, f"before-{number}")
    await at_rest(transfer, recordings=MANY)
    await transfer.change("analyze folder")

    async with counting(transfer.database) as counted:
        await work(transfer, cloud, "after")

    assert {table: rows for table, rows in counted.passed_over.items() if rows > 100} == {}
    assert {table: rows for table, rows in counted.looked_up.items() if rows > 200} == {}


@pytest.mark.parametrize("number", [1, 100])
async def test_much_may_wait_and_be_rejected_where_hardly_anything_was(transfer: Transfer, number: int) -> None:
    """An index of what waits, or is rejected, then seems the quickest way to a recording that does, wrongly."""
    await at_rest(transfer, recordings=MANY)
    await transfer.change("analyze")
    await waiting(transfer, recordings=MANY)
    await rejected(transfer, recordings=MANY)
    meant = [f"{kind}-{n}" for n in range(1, number + 1) for kind in ("large", "rejected", "rest-1")]

    for news in (
        [a_link(one, 2) for one in meant],
        [a_recording(one, revision=2) for one in meant],
        [a_transfer(one, 2) for one in meant],
    ):
        async with counting(transfer.database) as counted:
            folded = await transfer.fold(*news)
        assert folded.newer == len(meant)
        assert counted.looked_at("recording") <= 10 * len(meant)
        assert counted.looked_at("transfer") <= 10 * len(meant)

    again = [f"rejected-{MANY - n}" for n in range(number)]
    async with counting(transfer.database) as counted, transfer.database.transaction() as connection:
        retried = await Retries(connection).retry(again)  # type: ignore[arg-type]
    assert len(retried) == number
    assert counted.looked_at("recording") <= 10 * number


async def test_uploads_look_at_nothing_but_their_own_where_hardly_anything_waited(transfer: Transfer) -> None:
    await at_rest(transfer, recordings=MANY)
    await transfer.change("analyze")
    await transfer.fold(*(a_recording(f"R{number}", folder_id=f"F{number % 20}") for number in range(2_000)))

    async with counting(transfer.database) as counted:
        await transfer.uploading.step()

    assert len(await transfer.rows("select recording_id from transfer where recording_id like 'R%'")) == 100
    assert counted.looked_at("recording") <= 10 * 100


@pytest.mark.parametrize("analysed", ["before", "never", "after"])
@pytest.mark.parametrize("with_tickets", [False, True])
async def test_an_upload_costs_no_more_the_more_waits_in_its_folder(
    transfer: Transfer, analysed: str, *, with_tickets: bool
) -> None:
    """PostgreSQL takes all of it for some rows, or the tickets for so few that to read them all costs nothing."""
    await at_rest(transfer, recordings=MANY)
    if analysed == "before":
        await transfer.change("analyze")
    await waiting(transfer, recordings=30_000)
    if with_tickets:
        await transfer.change("""
            insert into ticket (recording_id, link_version, ticket_info)
            select recording_id, 1, '{"ticket_id":"T"}' from recording where waiting order by md5(recording_id)
        """)
    if analysed == "after":
        await transfer.change("analyze")

    async with counting(transfer.database) as claiming, transfer.database.transaction(keep=False) as connection:
        uploads = Uploads(connection)
        [folder] = await uploads.claim(1)
        ready = await uploads.ready([folder], grace=timedelta(seconds=1))
    async with counting(transfer.database) as uploading:
        await transfer.uploading.step()

    assert [(one, len(files)) for one, files in ready.items()] == [("large", MAX_FILES)]
    assert claiming.looked_at("recording") <= 2 * MAX_FILES
    assert claiming.looked_at("ticket") + claiming.looked_at("transfer") <= 3 * MAX_FILES
    assert uploading.looked_at("recording") <= 4 * MAX_FILES


@pytest.mark.parametrize("analysed", ["before", "never", "after"])
async def test_a_lot_is_announced_and_heard_without_a_look_at_all_that_is_to_be(
    transfer: Transfer, analysed: str
) -> None:
    lot = 1_000
    if analysed == "before":
        await transfer.change("analyze")
    await at_rest(transfer, recordings=30_000)
    await transfer.change("""
        insert into unheard_transfer select recording_id, folder_id, 1 from transfer order by md5(recording_id)
    """)
    if analysed == "after":
        await transfer.change("analyze")

    async with counting(transfer.database) as announcing, transfer.database.transaction(keep=False) as connection:
        found = await unheard(connection, lot)
        announced = await facts(connection, list(found))
    async with counting(transfer.database) as hearing, transfer.database.transaction() as connection:
        heard = await Transfers(connection).hear_newest(list(found.items()))  # type: ignore[arg-type]

    assert len(announced) == lot
    assert heard
    for counted in (announcing, hearing):
        assert counted.looked_at("unheard_transfer") <= 2 * lot
        assert counted.looked_at("transfer") <= 2 * lot


@pytest.mark.parametrize("analysed", [False, True])
@pytest.mark.parametrize(
    "state",
    [
        "due_at = now() + interval '1 hour'",
        "due_at = now(), retry_at = now() + interval '1 hour'",
        "due_at = now(), lease_until = now() + interval '1 hour', lease_token = gen_random_uuid()",
        "due_at = now(), held = 'outcome_unknown'",
        "due_at = null",
    ],
)
async def test_folders_from_which_nothing_goes_now_are_not_looked_at(
    transfer: Transfer, state: str, *, analysed: bool
) -> None:
    await transfer.change("insert into folder (folder_id) select 'F' || n from generate_series(1, :n) n", n=MANY)
    await transfer.change(f"update folder set {state}")
    if analysed:
        await transfer.change("analyze folder")

    async with counting(transfer.database) as counted:
        await transfer.uploading.step()

    assert counted.looked_at("folder") <= 10


@pytest.mark.parametrize("analysed", [False, True])
async def test_of_many_folders_that_are_due_those_that_are_taken_are_looked_at(
    transfer: Transfer, *, analysed: bool
) -> None:
    """Nor is there one that waits for its next try, to look for which all would have to be looked at."""
    await transfer.change(
        "insert into folder (folder_id, due_at) select 'F' || n, now() from generate_series(1, :n) n", n=MANY
    )
    if analysed:
        await transfer.change("analyze folder")

    async with counting(transfer.database) as claiming, transfer.database.transaction() as connection:
        claimed = await Uploads(connection).claim(16)
    async with counting(transfer.database) as retrying, transfer.database.transaction() as connection:
        await Conclusions(connection).retry_now()

    assert len(claimed) == 16
    assert claiming.looked_at("folder") <= 2 * 16
    assert retrying.looked_at("folder") <= 10


async def test_what_keeps_recordings_from_the_cloud_is_counted_without_a_look_at_the_others(
    transfer: Transfer,
) -> None:
    """Once the tables were analysed, which PostgreSQL does within a minute: it cannot know before how few wait."""
    await at_rest(transfer, recordings=MANY)
    await rejected(transfer, recordings=20)
    await transfer.change("analyze")
    await transfer.fold(a_recording("R1"))

    async with counting(transfer.database) as counted:
        await WatchPending(transfer.database, transfer.lane, seen.pending).step()

    assert max(counted.looked_at(table) for table in ("recording", "transfer", "folder")) <= 60


async def test_an_upload_is_recorded_without_a_look_at_what_is_held(transfer: Transfer) -> None:
    """As many requests with twenty files each as an outage of a cloud without keys may leave."""
    await transfer.change(
        "insert into folder (folder_id, held) select 'held-' || n, 'outcome_unknown' from generate_series(1, :n) n",
        n=MANY // 20,
    )
    await transfer.change("""
        insert into upload_request (id, folder_id, kind, body, keys_honoured, frozen_at, attempts)
        select gen_random_uuid(), folder_id, 'create', '', false, now(), 1 from folder
    """)
    await transfer.change("""
        insert into frozen_file (recording_id, request_id, position, transfer_version, link_version, content_hash)
        select folder_id || '-' || n, id, n, 1, 0, '' from upload_request, generate_series(0, 19) n
    """)
    await transfer.change("analyze")
    await transfer.fold(*(a_recording(f"R{number}") for number in range(10)))

    async with counting(transfer.database) as counted:
        await transfer.uploading.step()

    assert len(await transfer.rows("select recording_id from transfer")) == 10
    assert counted.looked_at("frozen_file") <= 50
    assert counted.looked_at("upload_request") <= 10


async def test_dead_letters_that_are_published_and_settled_are_passed_over_by_nobody(transfer: Transfer) -> None:
    await transfer.change(
        """
        insert into dead_letter (topic, partition, "offset", content, value, headers, timestamp_ms, reason, error,
            failed_at, published_at, settled_as, settled_at)
        select 'TicketLinked', 0, n, '', '', '[]', 0, 'invalid', '', now(), now(), 'discarded', now()
        from generate_series(1, :n) n
        """,
        n=MANY,
    )

    async with counting(transfer.database) as counted:
        await dead_letter_announcer(TRANSFER_DLQ, transfer.database, transfer.kept).step()
        await WatchDeadLetters(transfer.database).step()

    assert counted.looked_at("dead_letter") == 0
