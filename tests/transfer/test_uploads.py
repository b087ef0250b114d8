"""Uploads against a genuine emulator and a genuine PostgreSQL: what the cloud has in the end, and what is announced."""

import asyncio

from structlog.testing import capture_logs

from schemas.events import TransferredFile
from services.transfer.announce_transfers import facts, forget_heard, unheard
from tests.emulator.running import Emulator
from tests.transfer.given import NOON, a_link, a_recording, a_transfer
from tests.transfer.running import Transfer, files_in_cloud, names, tickets_in_cloud


async def test_recordings_of_a_folder_go_in_one_request(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(a_recording("R1"), a_recording("R2"), a_recording("R3", folder_id="F2", folder_name="Tuesday"))

    await transfer.upload()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav"), ("Tuesday", "R3.wav")]
    assert cloud.kinds() == ["create", "create"]
    rows = await transfer.rows("select * from transfer order by recording_id")
    assert names(rows) == ["R1", "R2", "R3"]
    assert [row["transfer_version"] for row in rows] == [1, 1, 1]
    assert rows[0]["clouds_uuid"] == rows[1]["clouds_uuid"] != rows[2]["clouds_uuid"]
    assert (rows[0]["size"], rows[0]["token"], rows[0]["transcribe"]) == ("2.5 MB", 3, "words of R1")
    assert await transfer.rows("select * from upload_request") == []
    assert await transfer.rows("select * from frozen_file") == []


async def test_a_later_recording_is_injected_into_the_folder(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()

    await transfer.fold(a_recording("R2"))
    await transfer.upload()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]
    assert cloud.kinds() == ["create", "inject"]


async def test_a_link_that_came_before_its_recording_travels_with_the_upload(
    transfer: Transfer, cloud: Emulator
) -> None:
    await transfer.fold(a_link("R1", link_version=4, ticket_id="T-4"))
    await transfer.fold(a_recording("R1", requires_ticket=True))

    await transfer.upload()

    assert tickets_in_cloud(cloud) == {"R1.wav": "T-4"}
    assert [row["link_version"] for row in await transfer.rows("select * from transfer")] == [4]


async def test_a_recording_that_requires_a_ticket_waits_for_it_no_longer_than_its_grace(
    transfer: Transfer, cloud: Emulator
) -> None:
    await transfer.fold(a_recording("R1", requires_ticket=True), a_recording("R2"))
    await transfer.waits_have_begun()

    await transfer.upload()
    before_the_grace_is_over = files_in_cloud(cloud)
    await transfer.waits_are_over()
    await transfer.upload_until_settled()

    assert before_the_grace_is_over == [("Monday", "R2.wav")]
    assert tickets_in_cloud(cloud) == {"R1.wav": None, "R2.wav": None}
    assert [row["link_version"] for row in await transfer.rows("select * from transfer")] == [0, 0]


async def test_a_ticket_ends_the_wait(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(a_recording("R1", requires_ticket=True))
    await transfer.waits_have_begun()
    await transfer.upload()
    assert files_in_cloud(cloud) == []

    folded = await transfer.fold(a_link("R1"))
    await transfer.upload()

    assert folded.wake == ("upload_recordings",)
    assert tickets_in_cloud(cloud) == {"R1.wav": "T-1"}


async def test_an_unlinked_recording_is_uploaded_without_a_ticket_at_the_version_of_the_unlink(
    transfer: Transfer, cloud: Emulator
) -> None:
    await transfer.fold(a_link("R1", 1), a_link("R1", 2, ticket_id=None))
    await transfer.fold(a_recording("R1"))

    await transfer.upload()

    assert tickets_in_cloud(cloud) == {"R1.wav": None}
    assert [row["link_version"] for row in await transfer.rows("select * from transfer")] == [2]


async def test_a_link_during_the_upload_is_not_announced_as_sent(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(a_link("R1", 1, "T-1"))
    await transfer.fold(a_recording("R1"))
    cloud.control("POST", "hold", {"route": "create"})
    sending = asyncio.create_task(transfer.uploading.step())
    await asyncio.to_thread(cloud.wait_until_held)

    await transfer.fold(a_link("R1", 2, "T-2"))
    cloud.control("POST", "release")
    await sending

    assert tickets_in_cloud(cloud) == {"R1.wav": "T-1"}
    assert [row["link_version"] for row in await transfer.rows("select * from transfer")] == [1]


async def test_a_folder_of_more_files_than_a_request_may_have_goes_in_several(
    transfer: Transfer, cloud: Emulator
) -> None:
    recordings = [a_recording(f"R{number:04}") for number in range(1001)]
    await transfer.fold(*recordings)

    await transfer.upload()

    assert [len(effect["files"]) for effect in cloud.effects()] == [500, 500, 1]
    assert len(set(files_in_cloud(cloud))) == 1001


async def test_a_request_stays_under_its_limit_of_bytes_and_a_larger_file_goes_alone(
    transfer: Transfer, cloud: Emulator
) -> None:
    # Quotes double when they are written as JSON: the first file alone is over the limit, of the others two fit.
    await transfer.fold(a_recording("R1", transcript='"' * 1_000_000), a_recording("R2", transcript='"' * 1_000_000))
    await transfer.fold(a_recording("R0", transcript="\\" * 500_000 + '"' * 500_000))

    await transfer.upload()

    assert [len(effect["files"]) for effect in cloud.effects()] == [1, 1, 1]
    assert len(files_in_cloud(cloud)) == 3


async def test_a_filename_in_a_folder_belongs_to_one_recording(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(
        a_recording("R2", filename="call.wav", processed_at="2025-01-29T10:00:00Z"),
        a_recording("R1", filename="call.wav", processed_at="2025-01-29T11:00:00Z"),
    )
    with capture_logs() as lines:
        await transfer.upload()
    await transfer.fold(a_recording("R0", filename="call.wav"), a_recording("R3", filename="call.wav", folder_id="F2"))
    await transfer.upload()

    assert names(await transfer.rows("select recording_id from transfer order by 1")) == ["R2", "R3"]
    rejected = await transfer.rows("select recording_id, rejected from recording where rejected is not null order by 1")
    assert names(rejected) == ["R0", "R1"]
    assert rejected[0]["rejected"].startswith("filename_taken")
    [refused] = [line for line in lines if line["event"] == "recording refused"]
    assert (refused["log_level"], refused["recording_id"], refused["folder_id"]) == ("error", "R1", "F1")
    assert refused["message"] == rejected[1]["rejected"]
    assert len(files_in_cloud(cloud)) == 2

    await transfer.fold(a_recording("R1", filename="other.wav", revision=2))
    await transfer.upload()

    assert ("Monday", "other.wav") in files_in_cloud(cloud)


async def test_a_revision_after_the_upload_changes_nothing_in_the_cloud(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()

    await transfer.fold(a_recording("R1", revision=2, transcript="better words", folder_id="F2"))
    await transfer.upload()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav")]
    assert (await transfer.rows("select folder_id, transcribe from transfer")) == [
        {"folder_id": "F1", "transcribe": "words of R1"}
    ]
    assert await transfer.rows("select folder_id from folder where due_at is not null") == []


async def test_the_deployed_cloud_gets_the_uploads_too(transfer_url: str, deployed: Emulator) -> None:
    from tests.transfer.running import running_transfer  # noqa: PLC0415

    async with running_transfer(transfer_url, deployed) as transfer:
        await transfer.fold(a_recording("R1"), a_recording("R2"))
        await transfer.upload()

        assert files_in_cloud(deployed) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]


async def test_when_nothing_is_wanted_nothing_is_planned(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload_until_settled()

    assert await transfer.uploading.step() is None
    assert cloud.control("GET", "requests/count")["by_route"]["create"] == 1


async def test_every_transfer_is_announced_to_a_topic_that_was_made_anew(transfer: Transfer) -> None:
    await transfer.fold(a_transfer("R1"), a_transfer("R2", transfer_version=2))

    async with transfer.database.transaction() as connection:
        before = await unheard(connection, 100)
        await forget_heard(connection)
        to_announce = await unheard(connection, 100)

    assert before == {}
    assert to_announce == {"R1": 1, "R2": 2}


async def test_a_transfer_is_announced_as_its_model_would_write_it(transfer: Transfer) -> None:
    odd = 'a "quoted" \\ id\n\t\b\x01\x7f / ä €\u2028😀'
    file = TransferredFile(filename=odd, size="1 KB", token=3, transcribe=odd)
    told = {
        "R1": a_transfer("R1", 7, transferred_at=NOON.replace(microsecond=120_000)),
        odd: a_transfer(odd, 2, folder_id=odd, clouds_uuid=odd, file=file, link_version=5),
    }
    await transfer.fold(*told.values())

    async with transfer.database.transaction() as connection:
        found = await facts(connection, list(told))

    assert {key: record.value for key, (_, record) in found.items()} == {
        key: fact.model_dump_json().encode() for key, fact in told.items()
    }
