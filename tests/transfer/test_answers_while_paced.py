"""An operator's word is carried out while a cloud that was away gets the backlog step by step."""

from tests.emulator.running import Emulator
from tests.transfer.api import an_api
from tests.transfer.given import a_recording
from tests.transfer.running import Transfer, files_in_cloud, names, running_transfer

BACKLOG = 12


async def backlog_of_an_outage(transfer: Transfer, cloud: Emulator) -> None:
    """The circuit has opened and closed again; most of the folders still wait for their turn."""
    cloud.control("POST", "down")
    await transfer.fold(*(a_recording(f"B{n}", folder_id=f"F-B{n}", folder_name=f"B{n}") for n in range(BACKLOG)))
    await transfer.upload()
    assert await transfer.rows("select reason from lane") == [{"reason": "circuit_open"}]
    cloud.control("POST", "up")
    await transfer.change("update lane set probe_at = now()")
    await transfer.waits_are_over()
    await transfer.uploading.step()
    assert await transfer.rows("select reason, allowance from lane") == [{"reason": None, "allowance": 2}]


def backlog_in(cloud: Emulator) -> list[tuple[str, str]]:
    return [file for file in files_in_cloud(cloud) if file[0].startswith("B")]


async def test_each_answer_to_an_uncertain_creation_is_carried_out_beside_the_backlog(
    transfer_url: str, deployed: Emulator
) -> None:
    async with running_transfer(transfer_url, deployed) as transfer:
        deployed.arm(route="create", kind="close_after_effect", times=3)
        await transfer.fold(*(a_recording(f"R{n}", folder_id=f"F{n}", folder_name=f"Held {n}") for n in range(3)))
        await transfer.upload()
        made = {one["folder"]: one["uuid"] for one in deployed.control("GET", "folders")["folders"]}
        deployed.delete(made["Held 1"])
        await backlog_of_an_outage(transfer, deployed)

        async with an_api(transfer) as api:
            answers = [
                await api.post("/folders/F0/answer", json={"answer": "exists_as", "clouds_uuid": made["Held 0"]}),
                await api.post("/folders/F1/answer", json={"answer": "send_again"}),
                await api.post("/folders/F2/answer", json={"answer": "give_up"}),
            ]
            still_paced = await transfer.rows("select allowance from lane where reason is null")
            await transfer.upload_until_settled()
            blocked = (await api.get("/status")).json()["blocked"]

        assert [one.status_code for one in answers] == [200, 200, 200]
        assert still_paced == [{"allowance": 2}]
        assert len(backlog_in(deployed)) == BACKLOG
        assert names(await transfer.rows("select recording_id from transfer where folder_id like 'F_' order by 1")) == [
            "R0",
            "R1",
        ]
        assert blocked == {"retrying": 0, "rejected": 1, "outcome_unknown": 0, "missing_in_cloud": 0}


async def test_a_lost_folder_is_uploaded_again_beside_the_backlog(transfer: Transfer, cloud: Emulator) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    lost = await transfer.clouds_uuid()
    cloud.delete(lost)
    await transfer.fold(a_recording("R2"))
    await transfer.upload()
    await backlog_of_an_outage(transfer, cloud)

    async with an_api(transfer) as api:
        before = (await api.get("/status")).json()["blocked"]
        answer = await api.post("/folders/F1/upload-again", json={"clouds_uuid": lost})
        await transfer.upload_until_settled()
        after = (await api.get("/status")).json()["blocked"]

    assert before["missing_in_cloud"] == 1
    assert answer.json() == {"recordings": 1}
    assert set(after.values()) == {0}
    assert len(backlog_in(cloud)) == BACKLOG
    assert [file for file in files_in_cloud(cloud) if file[0] == "Monday"] == [
        ("Monday", "R1.wav"),
        ("Monday", "R2.wav"),
    ]
