"""Workers that get their answers at the same moment write them down in one transaction, each what is its own."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import structlog.testing
from sqlalchemy import text

from schemas.events import RecordingProcessed
from services.transfer.upload_recordings import Claimed
from shared.outcome import Done, Invalid, NothingDone
from tests.emulator.running import Emulator
from tests.transfer.given import a_recording, a_transfer
from tests.transfer.running import Transfer, running_transfer


def in_folder(number: int, name: str = "") -> RecordingProcessed:
    return a_recording(f"R{number}{name}", folder_id=f"F{number}", folder_name=f"N{number}")


async def test_each_of_the_answers_counts_for_its_own_folder(transfer: Transfer) -> None:
    await transfer.fold(in_folder(1, "before"))
    await transfer.upload()
    uuid = await transfer.clouds_uuid("F1")
    await transfer.fold(*(in_folder(number) for number in range(5)))
    found = await transfer.uploading._claim([None] * 5)
    claimed = {str(one.folder.folder_id): one for one in found if isinstance(one, Claimed)}
    await transfer.change("update folder set lease_token = :other where folder_id = 'F4'", other=uuid4())

    written = await transfer.uploading._record(
        [
            (claimed["F2"], NothingDone("503")),
            (claimed["F0"], Done({"data": {"uuid": "uuid-0"}})),
            (claimed["F4"], Done({"data": {"uuid": "uuid-4"}})),
            (claimed["F3"], Invalid("no", {0: "filename: no"})),
            (claimed["F1"], Done({"status": 200})),
        ]
    )

    assert list(written) == [True] * 5
    assert await transfer.rows("select recording_id, folder_id, clouds_uuid from transfer order by 1") == [
        {"recording_id": "R0", "folder_id": "F0", "clouds_uuid": "uuid-0"},
        {"recording_id": "R1", "folder_id": "F1", "clouds_uuid": uuid},
        {"recording_id": "R1before", "folder_id": "F1", "clouds_uuid": uuid},
    ]
    assert await transfer.rows(
        "select folder_id, attempts, last_error, lease_token is null as free from folder order by 1"
    ) == [
        {"folder_id": "F0", "attempts": 0, "last_error": None, "free": True},
        {"folder_id": "F1", "attempts": 0, "last_error": None, "free": True},
        {"folder_id": "F2", "attempts": 1, "last_error": "503", "free": True},
        {"folder_id": "F3", "attempts": 0, "last_error": "no", "free": True},
        {"folder_id": "F4", "attempts": 0, "last_error": None, "free": False},
    ]
    assert await transfer.rows("select folder_id from upload_request") == [{"folder_id": "F4"}]
    assert await transfer.rows("select recording_id from frozen_file") == [{"recording_id": "R4"}]
    assert await transfer.rows("select recording_id, rejected from recording where rejected is not null") == [
        {"recording_id": "R3", "rejected": "filename: no"}
    ]


async def test_a_folder_that_is_locked_keeps_no_other_outcome_back(transfer_url: str, cloud: Emulator) -> None:
    async with running_transfer(transfer_url, cloud) as transfer:
        await transfer.fold(*(in_folder(number) for number in range(4)))
        cloud.control("POST", "hold", {"route": "create"})
        workers = [asyncio.create_task(transfer.uploading.step()) for _ in range(4)]
        while len(await transfer.rows("select id from upload_request")) < len(workers):  # noqa: ASYNC110  # only the database knows
            await asyncio.sleep(0.01)
        await asyncio.to_thread(cloud.wait_until_held)
        async with transfer.database.transaction() as somebody:  # a process that stands still in its fold, say
            await somebody.execute(text("select from folder where folder_id = 'F0' for update"))
            cloud.control("POST", "release")
            while len(await transfer.rows("select recording_id from transfer")) < len(workers) - 1:  # noqa: ASYNC110  # only the database knows
                await asyncio.sleep(0.01)
        await asyncio.gather(*workers)

        assert len(await transfer.rows("select recording_id from transfer")) == len(workers)


async def test_what_nothing_came_of_is_free_although_another_folder_is_locked_beyond_the_lease(
    transfer_url: str, deployed: Emulator
) -> None:
    """Without keys, an outcome that is not written down while the lease lasts is one for a person."""
    async with running_transfer(transfer_url, deployed, lease_s=3, cloud_timeout_s=1) as transfer:
        await transfer.fold(in_folder(0), in_folder(1))
        deployed.arm(route="create", status=503, times=2)
        async with transfer.database.transaction() as somebody:
            workers = [asyncio.create_task(transfer.uploading.step()) for _ in range(2)]
            while len(await transfer.rows("select id from upload_request")) < len(workers):  # noqa: ASYNC110  # only the database knows
                await asyncio.sleep(0.001)
            await somebody.execute(text("select from folder where folder_id = 'F0' for update"))
            while await transfer.rows("select id from upload_request where folder_id = 'F1'"):  # noqa: ASYNC110  # only the database knows
                await asyncio.sleep(0.01)
            free = await transfer.rows("select held, last_error like '503%' as told from folder where folder_id = 'F1'")
        await asyncio.gather(*workers)

        assert free == [{"held": None, "told": True}]


async def test_what_was_rolled_back_is_not_logged_as_refused(transfer_url: str, cloud: Emulator) -> None:
    async with running_transfer(transfer_url, cloud) as transfer:
        transfer.uploading.lane = replace(transfer.lane, requests_per_minute=1)
        await transfer.fold(in_folder(0))
        await transfer.uploading.step()
        await transfer.fold(a_recording("R1", filename="x.wav"), a_recording("R2", filename="x.wav"))

        with structlog.testing.capture_logs() as logs:
            await transfer.uploading.step()  # it is not this lane's turn yet

        assert [one for one in logs if one["log_level"] == "error"] == []
        assert await transfer.rows("select recording_id from recording where rejected is not null") == []


async def test_a_transfer_counts_as_heard_although_an_older_version_of_it_was_waited_for(transfer: Transfer) -> None:
    """Whoever has everything announced again may have read a row before it got its newest version."""
    await transfer.fold(a_transfer("R1", 2))
    await transfer.change("insert into unheard_transfer values ('R1', 'F1', 1)")

    await transfer.fold(a_transfer("R1", 2))

    assert await transfer.rows("select recording_id from unheard_transfer") == []
