"""What happens between two statements: folds, claims and operators that meet on the same folder."""

import asyncio
from functools import partial
from uuid import uuid4

from sqlalchemy import text

from schemas.fields import FolderId, RecordingId
from schemas.topics import TICKET_LINKED
from services.transfer.answers import Narrow
from services.transfer.conclusions import Conclusions, Verdict
from services.transfer.lots import Lot, decide_lot
from services.transfer.on_ticket_linked import fold_ticket_linked
from services.transfer.operators_word import GIVEN_UP
from services.transfer.requests import OpenRequest, Requests
from services.transfer.transfers import Transfers
from services.transfer.uploads import Uploads
from shared.batch import fold_records
from shared.database import Database
from shared.reading import read
from tests.emulator.running import Emulator
from tests.transfer.given import a_link, a_recording, a_transfer, records_of
from tests.transfer.running import Transfer, files_in_cloud, names, running_transfer

A_MOMENT_S = 0.3


async def is_waiting(task: asyncio.Task[object]) -> bool:
    """Whether it is still not done after a moment: it waits for a lock."""
    done, _ = await asyncio.wait({task}, timeout=A_MOMENT_S)
    return not done


async def test_a_recording_that_arrives_while_its_folder_is_found_empty_is_not_forgotten(transfer: Transfer) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.change("update folder set due_at = now()")

    async with transfer.database.transaction() as connection:
        uploads = Uploads(connection)
        [folder] = await uploads.claim(5)
        assert await uploads.ready([folder], grace=transfer.settings.waits.grace) == {}
        arriving = asyncio.create_task(transfer.fold(a_recording("R2")))
        assert await is_waiting(arriving)
        await uploads.look_again({folder.folder_id: None})
    await arriving

    assert await transfer.rows("select due_at is null as forgotten from folder") == [{"forgotten": False}]


async def test_a_ticket_stored_by_somebody_who_did_not_see_the_recording_does_not_hide_it(transfer: Transfer) -> None:
    """The link's transaction began before the recording was there, so it has no folder looked at."""
    stored, may_commit = asyncio.Event(), asyncio.Event()

    async def link() -> None:
        fold = partial(fold_ticket_linked, waits=transfer.settings.waits)
        async with transfer.database.transaction() as connection:
            batch = await read(TICKET_LINKED, records_of(a_link("R1")), skimmed=False)
            await fold_records(connection, batch, apply=fold)
            stored.set()
            await may_commit.wait()

    linking = asyncio.create_task(link())
    await stored.wait()
    await transfer.fold(a_recording("R1", requires_ticket=True))
    await transfer.waits_have_begun()
    await transfer.change("update folder set due_at = now()")
    async with transfer.database.transaction() as connection:
        uploads = Uploads(connection)
        [folder] = await uploads.claim(5)
        assert await uploads.ready([folder], grace=transfer.settings.waits.grace) == {}
        may_commit.set()
        await linking
        rest = await uploads.rest([folder.folder_id])

    assert rest[folder.folder_id].waiting_since is not None


async def test_a_recording_that_moves_while_it_is_frozen_is_not_uploaded_twice(
    transfer: Transfer, cloud: Emulator
) -> None:
    await transfer.fold(a_recording("R1", folder_id="F1"))
    async with transfer.database.transaction() as connection:
        uploads = Uploads(connection)
        [folder] = await uploads.claim(5)
        ready = await uploads.ready([folder], grace=transfer.settings.waits.grace)
        moving = asyncio.create_task(
            transfer.fold(a_recording("R1", revision=2, folder_id="F2", folder_name="Tuesday"))
        )
        assert await is_waiting(moving)
        lot = decide_lot(ready[folder.folder_id], taken={}, clouds_uuid=None, link_versions=True, max_files=500)
        assert isinstance(lot, Lot)
        request = OpenRequest.of(folder, lot, request_id=uuid4(), keys_honoured=True)
        await Requests(connection).freeze([request])
        await uploads.lease([folder.folder_id], uuid4(), lease_s=30)
    await moving

    await transfer.change("update folder set due_at = now() where folder_id = 'F2'")
    await transfer.upload()
    frozen_elsewhere = await transfer.rows(
        "select due_at > now() + interval '5 s' as later from folder where folder_id = 'F2'"
    )
    await transfer.waits_are_over()
    await transfer.upload()

    assert frozen_elsewhere == [{"later": True}]
    assert files_in_cloud(cloud) == [("Monday", "R1.wav")]


async def test_a_recording_that_moved_while_it_was_frozen_goes_to_its_new_folder_if_nothing_was_done(
    transfer: Transfer, cloud: Emulator
) -> None:
    cloud.arm(route="create", status=503, delay_s=1)
    await transfer.fold(a_recording("R1", folder_id="F1"))
    sending = asyncio.create_task(transfer.uploading.step())
    await transfer.frozen()
    await transfer.fold(a_recording("R1", revision=2, folder_id="F2", folder_name="Tuesday"))
    await transfer.upload()
    await sending

    await transfer.waits_are_over()
    await transfer.upload()

    assert files_in_cloud(cloud) == [("Tuesday", "R1.wav")]


async def test_what_was_heard_is_locked_in_order_whatever_the_plan(transfer: Transfer) -> None:
    ids = [f"R{number}" for number in range(9)]
    for recording_id in reversed(ids):  # which is how they lie in the table
        await transfer.fold(a_transfer(recording_id))

    async def hear() -> None:
        async with transfer.database.transaction() as connection:
            for setting in ("enable_nestloop", "enable_indexscan", "enable_bitmapscan", "enable_mergejoin"):
                await connection.execute(text(f"set local {setting} = off"))
            await Transfers(connection).hear({RecordingId(one): 2 for one in reversed(ids)})

    async with transfer.database.transaction() as holder:
        await holder.execute(text("select from transfer where recording_id = 'R0' for update"))
        hearing = asyncio.create_task(hear())
        assert await is_waiting(hearing)
        free = await transfer.rows("select recording_id from transfer order by 1 for update skip locked")
    await hearing

    assert names(free) == ids[1:]
    assert len(await transfer.rows("select recording_id from unheard_transfer")) == len(ids)


async def test_what_is_taken_over_and_what_is_only_heard_are_locked_in_one_order(transfer: Transfer) -> None:
    """R8 is news, R0 is only heard; somebody who has R0 and comes for R8 must not meet a fold that has R8 alone."""
    await transfer.fold(a_transfer("R8", 1), a_transfer("R0", 2))

    async with transfer.database.transaction() as holder:
        await holder.execute(text("select from transfer where recording_id = 'R0' for update"))
        folding = asyncio.create_task(transfer.fold(a_transfer("R8", 2), a_transfer("R0", 1)))
        assert await is_waiting(folding)
        free = await transfer.rows("select recording_id from transfer where recording_id = 'R8' for update skip locked")
    await folding

    assert names(free) == ["R8"]
    rows = await transfer.rows("select recording_id, transfer_version from unheard_transfer")
    assert [tuple(row.values()) for row in rows] == [("R0", 2)]


async def test_two_workers_never_have_the_same_folder(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(*(a_recording(f"R{number}") for number in range(20)))

    await asyncio.gather(*(transfer.upload() for _ in range(6)))

    assert len(files_in_cloud(cloud)) == 20
    assert cloud.kinds() == ["create"]


async def test_an_outcome_is_recorded_although_the_database_was_away_when_it_came(
    transfer: Transfer, cloud: Emulator, postgres_url: str
) -> None:
    await transfer.fold(a_recording("R1"))
    cloud.control("POST", "hold", {"route": "create"})
    sending = asyncio.create_task(transfer.uploading.step())
    await asyncio.to_thread(cloud.wait_until_held)

    admin = Database(postgres_url.replace("postgresql://", "postgresql+asyncpg://"), pool_size=1)
    async with admin.transaction() as connection:
        await connection.execute(
            text("select pg_terminate_backend(pid) from pg_stat_activity where datname = :name"),
            {"name": transfer.database.url.database},
        )
    await admin.close()
    cloud.control("POST", "release")
    await sending
    await transfer.upload()

    assert cloud.control("GET", "requests/count")["by_route"]["create"] == 1
    assert [row["recording_id"] for row in await transfer.rows("select * from transfer")] == ["R1"]


async def test_a_late_answer_to_an_attempt_of_a_lost_lease_closes_nothing(transfer: Transfer, cloud: Emulator) -> None:
    """The second attempt is under way when the first one is refused: its recordings must not go into a new request."""
    cloud.arm(route="create", status=503, delay_s=1)
    await transfer.fold(a_recording("R1"))
    first = asyncio.create_task(transfer.uploading.step())
    await transfer.frozen()
    await transfer.waits_are_over()
    cloud.control("POST", "hold", {"route": "create"})
    second = asyncio.create_task(transfer.uploading.step())
    await asyncio.to_thread(cloud.wait_until_held)

    await first
    cloud.control("POST", "release")
    await second
    await transfer.waits_are_over()
    await transfer.upload()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav")]
    assert cloud.kinds() == ["create"]


async def test_a_success_that_is_known_frees_a_folder_that_was_put_on_hold_meanwhile(
    transfer_url: str, deployed: Emulator
) -> None:
    """The first worker's lease has ended, and the second holds the request as the cloud honours no keys."""
    async with running_transfer(transfer_url, deployed) as transfer:
        await transfer.fold(a_recording("R1"))
        deployed.control("POST", "hold", {"route": "create"})
        first = asyncio.create_task(transfer.uploading.step())
        await asyncio.to_thread(deployed.wait_until_held)
        await transfer.waits_are_over()
        await transfer.uploading.step()
        held = await transfer.rows("select held from folder")

        deployed.control("POST", "release")
        await first
        await transfer.fold(a_recording("R2"))
        await transfer.waits_are_over()
        await transfer.upload()

        assert held == [{"held": "outcome_unknown"}]
        assert await transfer.rows("select held from folder") == [{"held": None}]
        assert await transfer.rows("select id from upload_request") == []
        assert names(await transfer.rows("select recording_id from transfer order by 1")) == ["R1", "R2"]
        assert files_in_cloud(deployed) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]


async def test_a_success_that_is_heard_while_an_operator_closes_its_request_does_not_count_any_more(
    transfer_url: str, deployed: Emulator
) -> None:
    """It waits for the operator's lock, and must see then what the operator did, not what was before."""
    async with running_transfer(transfer_url, deployed) as transfer:
        await transfer.fold(a_recording("R1"))
        deployed.control("POST", "hold", {"route": "create"})
        first = asyncio.create_task(transfer.uploading.step())
        await asyncio.to_thread(deployed.wait_until_held)
        await transfer.waits_are_over()
        await transfer.uploading.step()

        async with transfer.database.transaction() as connection:
            conclusions = Conclusions(connection)
            request = await conclusions.held_request(FolderId("F1"))
            assert request is not None
            deployed.control("POST", "release")
            assert await is_waiting(first)
            given_up = Narrow("given up", {RecordingId("R1"): GIVEN_UP}, 500)
            await conclusions.record([Verdict(request, given_up, 500)])
        await first

        assert await transfer.rows("select recording_id from transfer") == []
        assert await transfer.rows("select rejected from recording") == [{"rejected": GIVEN_UP}]
