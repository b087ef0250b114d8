"""A folder that the cloud has lost is uploaded again when an operator says so: all of it, once, and only that one."""

import asyncio
from collections.abc import Mapping

import httpx
from aiokafka import TopicPartition

from shared.gate import Gate
from tests.emulator.running import Emulator
from tests.transfer.api import an_api
from tests.transfer.given import a_recording, a_transfer
from tests.transfer.running import Transfer, files_in_cloud

CATALOGUE = TopicPartition("RecordingProcessed", 0)


async def upload_again(api: httpx.AsyncClient, lost: str) -> httpx.Response:
    return await api.post("/folders/F1/upload-again", json={"clouds_uuid": lost})


async def test_a_folder_that_the_cloud_has_lost_is_uploaded_again_on_command(
    transfer: Transfer, cloud: Emulator
) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    lost = await transfer.clouds_uuid()
    cloud.delete(lost)
    await transfer.fold(a_recording("R2"))
    await transfer.upload()

    async with an_api(transfer) as api:
        before = (await api.get("/status")).json()["blocked"]
        answer = await upload_again(api, lost)
        await transfer.upload()
        after = (await api.get("/status")).json()["blocked"]

    assert before["missing_in_cloud"] == 1
    assert answer.json() == {"recordings": 1}
    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]
    assert set(after.values()) == {0}
    rows = await transfer.rows("select recording_id, transfer_version, clouds_uuid from transfer order by 1")
    assert [row["transfer_version"] for row in rows] == [2, 1]
    assert lost not in {row["clouds_uuid"] for row in rows}


async def test_a_repeated_command_makes_no_second_folder(transfer: Transfer, cloud: Emulator) -> None:
    """As a client does that did not get the answer: while the folder waits, and when it is there again."""
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    lost = await transfer.clouds_uuid()
    cloud.delete(lost)

    async with an_api(transfer) as api:
        first = await upload_again(api, lost)
        while_it_waits = await upload_again(api, lost)
        await transfer.upload()
        present = await transfer.clouds_uuid()
        when_it_is_there = await upload_again(api, lost)
        await transfer.upload()

    assert [one.status_code for one in (first, while_it_waits, when_it_is_there)] == [200, 409, 409]
    assert while_it_waits.headers["content-type"] == "application/problem+json"
    assert (while_it_waits.json()["title"], while_it_waits.json()["clouds_uuid"]) == ("Not in the cloud", None)
    assert when_it_is_there.json()["title"] == "Not the present folder"
    assert when_it_is_there.json()["clouds_uuid"] == present != lost
    assert files_in_cloud(cloud) == [("Monday", "R1.wav")]


async def test_a_healthy_folder_is_not_doubled_by_a_command_about_another(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()

    async with an_api(transfer) as api:
        of_another = await upload_again(api, "uuid-of-tuesday==")
        without = await api.post("/folders/F1/upload-again")
        unknown = await api.post("/folders/F9/upload-again", json={"clouds_uuid": "uuid-of-tuesday=="})
    await transfer.upload()

    assert (of_another.status_code, without.status_code, unknown.status_code) == (409, 422, 409)
    assert files_in_cloud(cloud) == [("Monday", "R1.wav")]
    assert await transfer.rows("select folder_id from folder") == [{"folder_id": "F1"}]


async def test_a_lost_folder_is_not_made_anew_while_a_request_of_it_is_open(
    transfer: Transfer, cloud: Emulator
) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.fold(a_recording("R2"))
    cloud.control("POST", "hold", {"route": "inject"})
    sending = asyncio.create_task(transfer.uploading.step())
    await asyncio.to_thread(cloud.wait_until_held)

    async with an_api(transfer) as api:
        refused = await upload_again(api, await transfer.clouds_uuid())
    cloud.control("POST", "release")
    await sending

    assert (refused.status_code, refused.json()["title"]) == (409, "Not now")
    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]


async def test_nothing_stays_behind_in_the_lost_folder_because_it_was_not_read_yet(
    transfer: Transfer, cloud: Emulator
) -> None:
    """A database made anew: the own topic is read, RecordingProcessed of R2 is not."""
    ends: Mapping[TopicPartition, int] = {CATALOGUE: 2}

    async def ask() -> Mapping[TopicPartition, int]:
        return ends

    known = Gate(transfer.database, [CATALOGUE.topic], ask)
    keeping = asyncio.create_task(known.keep())
    await transfer.fold(a_transfer("R1", 1), a_transfer("R2", 1))
    await transfer.fold(a_recording("R1"))
    await transfer.change("insert into position values ('RecordingProcessed', 0, 1)")

    async with an_api(transfer, known=known) as api:
        too_early = await upload_again(api, "uuid-1==")
        await transfer.fold(a_recording("R2"))
        await transfer.change("update position set next_offset = 2")
        await asyncio.wait_for(known.wait_open(), 10)
        answer = await upload_again(api, "uuid-1==")
    keeping.cancel()
    await transfer.waits_are_over()
    await transfer.upload()

    assert (too_early.status_code, too_early.headers["retry-after"]) == (503, "1")
    assert answer.json() == {"recordings": 2}
    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]
    rows = await transfer.rows("select transfer_version from transfer")
    assert rows == [{"transfer_version": 2}] * 2


async def test_while_the_service_reads_its_own_facts_back_an_operator_is_told_to_wait(transfer: Transfer) -> None:
    transfer.gate.close("a test")

    async with an_api(transfer) as api:
        answer = await upload_again(api, "uuid-1==")

    assert answer.status_code == 503
    assert answer.headers["retry-after"]


async def test_an_upload_of_what_the_cloud_has_lost_is_shown_while_it_waits(
    transfer: Transfer, cloud: Emulator
) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.fold(a_transfer("R1", 1, clouds_uuid=await transfer.clouds_uuid()))
    cloud.arm(route="create", status=503, headers={"Retry-After": "60"})
    cloud.arm(route="create", status=422, filename="R1.wav")

    async with an_api(transfer) as api:
        uploaded = (await api.get("/status")).json()
        await upload_again(api, await transfer.clouds_uuid())
        wanted = (await api.get("/status")).json()
        await transfer.upload()
        retrying, recording = (await api.get("/status")).json(), (await api.get("/recordings/R1")).json()
        await transfer.waits_are_over()
        await transfer.upload()
        rejected = (await api.get("/status", params={"folder": "F1"})).json()

    assert (uploaded["working"], sum(uploaded["blocked"].values())) == (0, 0)
    assert (wanted["working"], sum(wanted["blocked"].values())) == (1, 0)
    assert (retrying["working"], retrying["blocked"]["retrying"]) == (1, 1)
    assert (recording["phase"], recording["blocked"]["reason"]) == ("waiting", "retrying")
    assert (rejected["working"], rejected["blocked"]["rejected"]) == (0, 1)


async def test_a_clock_that_was_set_back_does_not_bring_a_lost_folder_back(transfer: Transfer) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.change("update transfer set transferred_at = transferred_at + interval '1 hour'")
    await transfer.change("update folder set uuid_since = uuid_since + interval '1 hour'")
    first = (await transfer.rows("select transferred_at from transfer"))[0]["transferred_at"]

    async with an_api(transfer) as api:
        await upload_again(api, await transfer.clouds_uuid())
    await transfer.upload()

    assert (await transfer.rows("select transferred_at from transfer"))[0]["transferred_at"] > first
