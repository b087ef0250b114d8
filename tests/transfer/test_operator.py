"""What an operator sees and decides, through the HTTP API: held folders, blocked recordings."""

from collections.abc import AsyncIterator

import pytest

from tests.emulator.running import Emulator
from tests.transfer.api import an_api
from tests.transfer.given import a_link, a_recording, a_transfer
from tests.transfer.running import Transfer, files_in_cloud, names, running_transfer


@pytest.fixture
async def held(transfer_url: str, deployed: Emulator) -> AsyncIterator[Transfer]:
    """A folder of two recordings whose creation is uncertain, at a cloud that honours no keys."""
    async with running_transfer(transfer_url, deployed) as transfer:
        deployed.arm(route="create", kind="close_after_effect")
        await transfer.fold(a_recording("R1"), a_recording("R2"))
        await transfer.upload()
        await transfer.fold(a_recording("R3"))
        await transfer.waits_are_over()
        await transfer.upload()
        yield transfer


async def test_an_uncertain_upload_is_held_and_shown_where_keys_are_not_honoured(
    held: Transfer, deployed: Emulator
) -> None:
    async with an_api(held) as api:
        status = (await api.get("/status")).json()
        recording = (await api.get("/recordings/R1")).json()
        folders = (await api.get("/folders", params={"held": True})).json()["items"]

    assert deployed.control("GET", "requests/count")["by_route"]["create"] == 1
    assert status["blocked"] == {"retrying": 0, "rejected": 0, "outcome_unknown": 3, "missing_in_cloud": 0}
    assert status["working"] == 0
    assert status["lane"]["open"] is True
    assert (recording["phase"], recording["blocked"]["reason"]) == ("uploading", "outcome_unknown")
    assert recording["blocked"]["next_try_at"] is None
    assert [(folder["folder_id"], folder["held"]) for folder in folders] == [("F1", "outcome_unknown")]
    assert folders[0]["open_request"]["files"] == 2
    assert folders[0]["waiting"] == 3


async def test_an_operator_says_that_the_folder_exists(held: Transfer, deployed: Emulator) -> None:
    uuid = deployed.control("GET", "folders")["folders"][0]["uuid"]

    async with an_api(held) as api:
        without_uuid = await api.post("/folders/F1/answer", json={"answer": "exists_as"})
        answer = await api.post("/folders/F1/answer", json={"answer": "exists_as", "clouds_uuid": uuid})
        again = await api.post("/folders/F1/answer", json={"answer": "give_up"})
    await held.upload()

    assert without_uuid.status_code == 422
    assert answer.json() == {"outcome": "Transferred", "files": 2}
    assert again.status_code == 409
    assert files_in_cloud(deployed) == [("Monday", "R1.wav"), ("Monday", "R2.wav"), ("Monday", "R3.wav")]
    rows = await held.rows("select clouds_uuid from transfer")
    assert rows == [{"clouds_uuid": uuid}] * 3
    [record] = await held.rows("select what, subject, detail from audit")
    assert (record["what"], record["subject"]) == ("folder_answered", "F1")
    assert {name: record["detail"][name] for name in ("answer", "clouds_uuid", "files")} == {
        "answer": "exists_as",
        "clouds_uuid": uuid,
        "files": 2,
    }


async def test_an_operator_cannot_say_that_it_exists_as_another_folder(held: Transfer) -> None:
    await held.fold(a_recording("R9", folder_id="F2", folder_name="Tuesday"))
    await held.upload()
    others = await held.clouds_uuid("F2")

    async with an_api(held) as api:
        answer = await api.post("/folders/F1/answer", json={"answer": "exists_as", "clouds_uuid": others})

    assert answer.status_code == 409
    assert answer.json()["detail"].startswith(f"{others} is folder F2 in the cloud")
    assert await held.rows("select held from folder where folder_id = 'F1'") == [{"held": "outcome_unknown"}]


async def test_an_answer_about_a_request_that_is_no_more_leaves_the_present_one_as_it_is(held: Transfer) -> None:
    gone = "0f5e0000-0000-4000-8000-000000000000"

    async with an_api(held) as api:
        [folder] = (await api.get("/folders", params={"held": True})).json()["items"]
        present = folder["open_request"]["request_id"]
        other = await api.post("/folders/F1/answer", json={"answer": "give_up", "request_id": gone})
        answer = await api.post("/folders/F1/answer", json={"answer": "give_up", "request_id": present})

    assert (other.status_code, other.json()["request_id"]) == (409, present)
    assert other.json()["detail"].startswith(f"The request of unknown outcome is {present} now, not {gone}")
    assert answer.json() == {"outcome": "Narrow", "files": 2}


async def test_an_operator_says_send_again(held: Transfer, deployed: Emulator) -> None:
    deployed.delete(deployed.control("GET", "folders")["folders"][0]["uuid"])
    await held.fold(a_link("R1"))

    async with an_api(held) as api:
        answer = await api.post("/folders/F1/answer", json={"answer": "send_again"})
    await held.upload()

    assert answer.json() == {"outcome": "Release", "files": 2}
    assert files_in_cloud(deployed) == [("Monday", "R1.wav"), ("Monday", "R2.wav"), ("Monday", "R3.wav")]
    assert [row["link_version"] for row in await held.rows("select * from transfer order by recording_id")] == [1, 0, 0]


async def test_an_operator_gives_up(held: Transfer) -> None:
    async with an_api(held) as api:
        answer = await api.post("/folders/F1/answer", json={"answer": "give_up"})
        await held.upload()
        status = (await api.get("/status", params={"folder": "F1"})).json()
        recording = (await api.get("/recordings/R1")).json()

    assert answer.json() == {"outcome": "Narrow", "files": 2}
    assert status["blocked"]["rejected"] == 2
    assert recording["blocked"]["message"].startswith("given_up")
    assert names(await held.rows("select recording_id from transfer")) == ["R3"]


async def test_what_an_operator_gave_up_stays_so_whatever_revision_comes(held: Transfer, deployed: Emulator) -> None:
    async with an_api(held) as api:
        await api.post("/folders/F1/answer", json={"answer": "give_up"})
        await held.fold(a_recording("R1", revision=2), a_recording("R2", revision=2))
        await held.upload()
        given_up = files_in_cloud(deployed)
        await api.post("/rejected/retry", json={"recording_ids": ["R1"]})
        await held.upload()

    assert given_up == [("Monday", "R1.wav"), ("Monday", "R2.wav"), ("Monday", "R3.wav")]
    assert files_in_cloud(deployed) == [("Monday", "R1.wav"), *given_up]


async def test_resending_can_be_chosen_for_good(transfer_url: str, deployed: Emulator) -> None:
    async with running_transfer(transfer_url, deployed, cloud_resend_unknown=True) as transfer:
        deployed.arm(route="create", kind="close_before_effect")
        await transfer.fold(a_recording("R1"))
        await transfer.upload()
        await transfer.waits_are_over()
        await transfer.upload()

        assert files_in_cloud(deployed) == [("Monday", "R1.wav")]


async def test_a_transfer_counts_as_work_until_the_topic_says_it(transfer: Transfer) -> None:
    await transfer.fold(a_recording("R1"))
    async with an_api(transfer) as api:
        await transfer.upload()
        unheard = (await api.get("/status")).json()["working"]
        await transfer.fold(a_transfer("R1", 1))
        heard = (await api.get("/status")).json()["working"]
        elsewhere = (await api.get("/status", params={"folder": "F2"})).json()["working"]

    assert (unheard, heard, elsewhere) == (1, 0, 0)


async def test_what_is_waiting_rejected_or_superseded_is_shown(transfer: Transfer, cloud: Emulator) -> None:
    cloud.arm(route="create", status=503, headers={"Retry-After": "60"})
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.fold(a_recording("R2", folder_id="F2"))
    await transfer.upload()
    await transfer.fold(
        a_recording("R2", folder_id="F2", revision=2, transcript="better"),
        a_recording("R3", folder_id="F2", filename="R2.wav"),
    )
    await transfer.upload()

    async with an_api(transfer) as api:
        status = (await api.get("/status")).json()
        of_folder = (await api.get("/status", params={"folder": "F2"})).json()
        retrying, superseded, rejected = [(await api.get(f"/recordings/R{number}")).json() for number in (1, 2, 3)]
        unknown = await api.get("/recordings/R4")
        unknown_folder = await api.get("/folders/F9")

    assert status["blocked"] == {"retrying": 1, "rejected": 1, "outcome_unknown": 0, "missing_in_cloud": 0}
    assert of_folder["blocked"] == {"retrying": 0, "rejected": 1, "outcome_unknown": 0, "missing_in_cloud": 0}
    assert (retrying["phase"], retrying["blocked"]["reason"]) == ("waiting", "retrying")
    assert retrying["blocked"]["message"].startswith("503")
    assert retrying["blocked"]["next_try_at"] is not None
    assert (superseded["phase"], superseded["superseded_after_upload"]) == ("transferred", True)
    assert (rejected["phase"], rejected["superseded_after_upload"]) == ("rejected", False)
    assert (unknown.status_code, unknown_folder.status_code) == (404, 404)


async def test_behind_a_stopped_lane_its_message_is_shown_and_not_what_the_folder_met_before(
    transfer: Transfer, cloud: Emulator
) -> None:
    cloud.arm(route="create", status=503, headers={"Retry-After": "60"})
    await transfer.fold(a_recording("R1"))
    await transfer.upload()

    async with an_api(transfer) as api:
        before = (await api.get("/recordings/R1")).json()["blocked"]
        await transfer.change("update lane set reason = 'unauthorized', message = '401: unathorized', probe_at = null")
        behind = (await api.get("/recordings/R1")).json()["blocked"]

    assert before["message"].startswith("503")
    assert behind == {"reason": "retrying", "message": "unauthorized: 401: unathorized", "next_try_at": None}


@pytest.mark.parametrize(
    ("path", "status"),
    [("/recordings/a%00b", 404), ("/folders/%00", 404), ("/status?folder=%00", 422)],
)
async def test_a_nul_in_a_question_is_not_a_defect(transfer: Transfer, path: str, status: int) -> None:
    async with an_api(transfer) as api:
        answer = await api.get(path)

    assert answer.status_code == status
