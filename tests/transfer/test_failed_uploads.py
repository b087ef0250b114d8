"""Uploads that go wrong, by genuine faults of the emulator: nothing is lost, and nothing is in the cloud twice."""

import asyncio

import pytest
from structlog.testing import capture_logs

from tests.emulator.running import Emulator
from tests.transfer.given import a_link, a_recording
from tests.transfer.running import Transfer, files_in_cloud, names, running_transfer, tickets_in_cloud


async def test_after_a_refusal_that_did_nothing_a_new_request_takes_the_newest_ticket(
    transfer: Transfer, cloud: Emulator
) -> None:
    cloud.arm(route="create", status=503)
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    assert await transfer.rows("select * from upload_request") == []

    await transfer.fold(a_link("R1"))
    await transfer.waits_are_over()
    await transfer.upload()

    assert tickets_in_cloud(cloud) == {"R1.wav": "T-1"}
    assert (await transfer.rows("select attempts, last_error, retry_at from folder")) == [
        {"attempts": 0, "last_error": None, "retry_at": None}
    ]


async def test_a_failed_folder_waits_for_its_next_try_whatever_arrives(transfer: Transfer, cloud: Emulator) -> None:
    cloud.arm(route="create", status=503, headers={"Retry-After": "60"})
    await transfer.fold(a_recording("R1"))
    await transfer.upload()

    await transfer.fold(a_recording("R2"), a_recording("R3", folder_id="F2", folder_name="Tuesday"))
    await transfer.upload()

    assert files_in_cloud(cloud) == [("Tuesday", "R3.wav")]
    waiting = await transfer.rows("select attempts, retry_at > now() + interval '50 s' as waits from folder order by 1")
    assert waiting == [{"attempts": 0, "waits": None}, {"attempts": 1, "waits": True}]


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "close_after_effect"},
        {"kind": "close_before_effect"},
        {"kind": "answer_after_effect", "status": 500},
        {"kind": "answer", "status": 500},
        {"kind": "answer_after_effect", "status": 200},
        {"kind": "answer_after_effect", "status": 302},
        {"kind": "answer_after_effect", "status": 200, "body": {"status": 200, "data": {}}},
        {"kind": "answer_after_effect", "status": 200, "body": {"status": 200, "data": {"uuid": "a\0b"}}},
    ],
    ids=lambda fault: "-".join(map(str, fault.values())),
)
async def test_an_upload_of_unknown_outcome_is_repeated_byte_for_byte_under_its_key(
    transfer: Transfer, cloud: Emulator, fault: dict[str, object]
) -> None:
    cloud.arm(route="create", **fault)
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    frozen = await transfer.rows("select id, body from upload_request")
    assert len(frozen) == 1

    await transfer.fold(a_link("R1"))
    await transfer.fold(a_recording("R1", revision=2, filename="new.wav"), a_recording("R2"))
    await transfer.waits_are_over()
    await transfer.upload()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]
    assert cloud.kinds() == ["create", "inject"]
    assert {effect["idempotency_key"] for effect in cloud.effects() if effect["kind"] == "create"} == {
        str(frozen[0]["id"])
    }
    sent = await transfer.rows("select recording_id, filename, link_version from transfer order by 1")
    assert sent[0] == {"recording_id": "R1", "filename": "R1.wav", "link_version": 0}


@pytest.mark.parametrize("answer", [{"status": status} for status in (503, 429, 401, 403, 404)])
async def test_a_repeat_that_did_nothing_says_nothing_about_the_first_attempt(
    transfer: Transfer, cloud: Emulator, answer: dict[str, object]
) -> None:
    cloud.arm(route="create", kind="close_after_effect")
    cloud.arm(route="create", **answer)
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.waits_are_over()
    await transfer.upload()
    assert len(await transfer.rows("select * from upload_request")) == 1

    await transfer.change("update lane set reason = null, pinged_at = null")
    await transfer.waits_are_over()
    await transfer.upload()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav")]
    assert cloud.kinds() == ["create"]


async def test_an_unreachable_cloud_has_done_nothing(transfer_url: str) -> None:
    async with running_transfer(transfer_url, "http://127.0.0.1:9") as transfer:
        await transfer.change("update lane set reason = null")
        await transfer.fold(a_recording("R1"))
        await transfer.upload()

        assert await transfer.rows("select * from upload_request") == []
        assert (await transfer.rows("select attempts from folder")) == [{"attempts": 1}]


async def test_nothing_is_sent_before_the_cloud_has_said_what_it_can_do(transfer_url: str, cloud: Emulator) -> None:
    async with running_transfer(transfer_url, cloud) as transfer:
        await transfer.change("update lane set reason = 'not_reached', capabilities = null, pinged_at = null")
        await transfer.fold(a_recording("R1"))

        assert await transfer.uploading.step() is None
        assert files_in_cloud(cloud) == []
        await transfer.lane.ping()
        await transfer.upload()

        assert files_in_cloud(cloud) == [("Monday", "R1.wav")]


async def test_files_that_the_cloud_names_are_rejected_and_the_others_go(transfer: Transfer, cloud: Emulator) -> None:
    cloud.arm(route="create", status=422, filename="R2.wav", times=None)
    await transfer.fold(a_recording("R1"), a_recording("R2"), a_recording("R3"))

    await transfer.upload()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R3.wav")]
    rejected = await transfer.rows("select recording_id, rejected from recording where rejected is not null")
    assert rejected == [{"recording_id": "R2", "rejected": "filename: The files.1.filename field is invalid."}]


async def test_each_recording_that_the_cloud_refuses_is_an_error_line_with_its_own_reason(
    transfer: Transfer, cloud: Emulator
) -> None:
    errors = {"files.0.token": ["The token is odd."], "files.2.size": ["too big"]}
    cloud.arm(route="create", status=422, body={"message": "Invalid.", "errors": errors})
    await transfer.fold(a_recording("R1"), a_recording("R2"), a_recording("R3"))

    with capture_logs() as lines:
        await transfer.upload()

    refused = [line for line in lines if line["event"] == "recording refused by the cloud"]
    assert [(line["log_level"], line["recording_id"], line["message"]) for line in refused] == [
        ("error", "R1", "token: The token is odd."),
        ("error", "R3", "size: too big"),
    ]


@pytest.mark.parametrize(
    "refusal", [{"status": 422, "body": {"message": "no"}}, {"status": 418, "body": {"message": "no"}}]
)
async def test_a_refusal_without_details_is_narrowed_down_to_the_file_that_is_to_blame(
    transfer: Transfer, cloud: Emulator, refusal: dict[str, object]
) -> None:
    cloud.arm(route="create", filename="R5.wav", times=None, **refusal)
    cloud.arm(route="inject", filename="R5.wav", times=None, **refusal)
    await transfer.fold(*(a_recording(f"R{number}") for number in range(10)))

    await transfer.upload()

    assert len(files_in_cloud(cloud)) == 9
    assert names(await transfer.rows("select recording_id from recording where rejected is not null")) == ["R5"]


async def test_a_request_that_is_too_large_is_halved(transfer: Transfer, cloud: Emulator) -> None:
    cloud.arm(route="create", status=413, files_at_least=3, times=None)
    cloud.arm(route="inject", status=413, files_at_least=3, times=None)
    await transfer.fold(*(a_recording(f"R{number}") for number in range(8)))

    await transfer.upload()

    assert len(files_in_cloud(cloud)) == 8
    assert max(len(effect["files"]) for effect in cloud.effects()) == 2
    assert await transfer.rows("select * from recording where rejected is not null") == []


async def test_too_many_requests_stop_the_lane_and_nothing_is_rejected(transfer: Transfer, cloud: Emulator) -> None:
    cloud.arm(route="create", status=429, headers={"Retry-After": "30"})
    await transfer.fold(a_recording("R1"), a_recording("R2", folder_id="F2"))

    await transfer.upload()

    assert files_in_cloud(cloud) == []
    assert (await transfer.rows("select reason from lane")) == [{"reason": "rate_limited"}]
    await transfer.change("update lane set probe_at = now(), not_before = now()")
    await transfer.upload()
    await transfer.upload()
    assert len(files_in_cloud(cloud)) == 2


async def test_a_wrong_token_stops_the_lane_until_a_ping_is_accepted(transfer: Transfer, cloud: Emulator) -> None:
    cloud.arm(route="create", status=401)
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.waits_are_over()
    await transfer.upload()
    assert files_in_cloud(cloud) == []

    await transfer.change("update lane set pinged_at = null")
    await transfer.lane.ping()
    await transfer.upload()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav")]


async def test_an_upload_that_outlives_its_lease_changes_nothing(transfer_url: str, cloud: Emulator) -> None:
    async with running_transfer(transfer_url, cloud, lease_s=20) as transfer:
        await transfer.fold(a_recording("R1"))
        cloud.control("POST", "hold", {"route": "create", "moment": "after_effect"})
        slow = asyncio.create_task(transfer.uploading.step())
        await asyncio.to_thread(cloud.wait_until_held)

        await transfer.waits_are_over()  # the lease ends while the request is under way
        second = asyncio.create_task(transfer.uploading.step())
        await asyncio.sleep(0.2)
        cloud.control("POST", "release")
        await slow
        await second
        await transfer.waits_are_over()
        await transfer.upload()

        assert files_in_cloud(cloud) == [("Monday", "R1.wav")]
        assert [row["transfer_version"] for row in await transfer.rows("select * from transfer")] == [1]


async def test_a_process_that_slept_through_its_lease_does_not_begin_to_send(
    transfer_url: str, cloud: Emulator
) -> None:
    async with running_transfer(transfer_url, cloud, cloud_timeout_s=10, lease_s=5) as transfer:
        await transfer.fold(a_recording("R1"))

        for _ in range(6):
            await transfer.uploading.step()
            await transfer.waits_are_over()

        assert files_in_cloud(cloud) == []
        assert await transfer.rows("select * from upload_request") == []
        assert await transfer.rows("select reason, failures from lane") == [{"reason": None, "failures": 0}]
