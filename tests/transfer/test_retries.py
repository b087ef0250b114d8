"""What an operator does about recordings that were rejected, and about folders that are given up as lost."""

from tests.emulator.running import Emulator
from tests.transfer.api import an_api
from tests.transfer.given import a_link, a_recording
from tests.transfer.running import Transfer, files_in_cloud, running_transfer, tickets_in_cloud


async def test_a_rejected_recording_is_uploaded_when_it_is_tried_again(transfer_url: str, deployed: Emulator) -> None:
    async with running_transfer(transfer_url, deployed) as transfer:
        deployed.arm(route="create", status=422, filename="R1.wav")
        await transfer.fold(a_recording("R1", requires_ticket=False), a_recording("R2", requires_ticket=False))
        await transfer.upload()
        assert files_in_cloud(deployed) == [("Monday", "R2.wav")]

        async with an_api(transfer) as api:
            blocked = (await api.get("/blocked")).json()["items"]
            body = {"recording_ids": ["R1", "R2", "nobody"]}
            retried = await api.post("/rejected/retry", json=body, headers={"X-Requested-By": "ann"})
            again = await api.post("/rejected/retry", json=body)
            wrong = await api.post("/rejected/retry", json={"recording_ids": []})
        await transfer.upload_until_settled()

        assert [(one["recording_id"], one["reason"]) for one in blocked] == [("R1", "rejected")]
        assert retried.json() == {"retried": ["R1"]}
        assert again.json() == {"retried": []}
        assert wrong.status_code == 422
        assert files_in_cloud(deployed) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]
        audit = await transfer.rows("select who, what, detail from audit")
        assert audit == [{"who": "ann", "what": "recordings_retried", "detail": {"recording_ids": ["R1"]}}]


async def test_what_waits_in_a_lost_folder_can_be_given_up(transfer_url: str, deployed: Emulator) -> None:
    async with running_transfer(transfer_url, deployed) as transfer:
        await transfer.fold(a_recording("R1", requires_ticket=False))
        await transfer.upload()
        uuid = await transfer.clouds_uuid()
        deployed.delete(uuid)
        await transfer.fold(a_recording("R2", requires_ticket=False))
        await transfer.upload_until_settled()

        async with an_api(transfer) as api:
            held = (await api.get("/folders", params={"held": True})).json()["items"]
            wrong = await api.post("/folders/F1/give-up", json={"clouds_uuid": "another"})
            done = await api.post("/folders/F1/give-up", json={"clouds_uuid": uuid})
            again = await api.post("/folders/F1/give-up", json={"clouds_uuid": uuid})
            recording = (await api.get("/recordings/R2")).json()
            left = (await api.get("/folders", params={"held": True})).json()["items"]

        assert [one["held"] for one in held] == ["missing_in_cloud"]
        assert (wrong.status_code, again.status_code) == (409, 409)
        assert done.json() == {"recordings": 1}
        assert recording["blocked"]["reason"] == "rejected"
        assert recording["blocked"]["message"].startswith("given_up: ")
        assert left == []


async def test_what_the_cloud_rejected_is_tried_again_with_a_newer_link(transfer: Transfer, cloud: Emulator) -> None:
    refused = {"message": "invalid", "errors": {"files.0.ticket_info.url": ["is no address"]}}
    cloud.arm(route="create", status=422, body=refused)
    await transfer.fold(a_link("R1", 1, "T-1"))
    await transfer.fold(a_recording("R1"), a_recording("R2"), a_recording("R3", filename="R2.wav"))
    await transfer.upload_until_settled()
    rejected = await transfer.rows("select recording_id from recording where rejected is not null order by 1")

    await transfer.fold(a_link("R1", 2, "T-2"), a_link("R3", 1, "T-3"))
    await transfer.upload_until_settled()

    assert rejected == [{"recording_id": "R1"}, {"recording_id": "R3"}]
    assert tickets_in_cloud(cloud) == {"R1.wav": "T-2", "R2.wav": None}
    assert await transfer.rows("select recording_id from recording where rejected is not null") == rejected[1:]
