"""What an operator sees and decides, through the HTTP API: held folders, lost folders, blocked recordings."""

from collections.abc import AsyncIterator

import httpx
import pytest

from services.transfer.api import routes
from shared.web import build
from tests.emulator.running import Emulator
from tests.transfer.given import a_link, a_recording, a_transfer
from tests.transfer.running import Transfer, files_in_cloud, migrated, names, running_transfer


class _Service:
    """As much of a service as its routes need: the real database and the real gate."""

    def __init__(self, transfer: Transfer) -> None:
        self.database = transfer.database
        self.gate = transfer.gate


def an_api(transfer: Transfer) -> httpx.AsyncClient:
    async def ready() -> dict[str, object]:
        return {"ready": True}

    router = routes(_Service(transfer), transfer.lane)  # type: ignore[arg-type]  # see _Service
    app = build(title="test", api_token="token", router=router, readiness=ready, max_request_bytes=10_000)
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://transfer", headers={"Authorization": "Bearer token"}
    )


@pytest.fixture
async def held(database_url: str, deployed: Emulator) -> AsyncIterator[Transfer]:
    """A folder of two recordings whose creation is uncertain, at a cloud that honours no keys."""
    async with running_transfer(await migrated(database_url), deployed) as transfer:
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


async def test_resending_can_be_chosen_for_good(database_url: str, deployed: Emulator) -> None:
    async with running_transfer(await migrated(database_url), deployed, cloud_resend_unknown=True) as transfer:
        deployed.arm(route="create", kind="close_before_effect")
        await transfer.fold(a_recording("R1"))
        await transfer.upload()
        await transfer.waits_are_over()
        await transfer.upload()

        assert files_in_cloud(deployed) == [("Monday", "R1.wav")]


async def test_a_folder_that_the_cloud_has_lost_is_uploaded_again_on_command(
    transfer: Transfer, cloud: Emulator
) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    lost = cloud.control("GET", "folders")["folders"][0]["uuid"]
    cloud.delete(lost)
    await transfer.fold(a_recording("R2"))
    await transfer.upload()

    async with an_api(transfer) as api:
        before = (await api.get("/status")).json()["blocked"]
        answer = await api.post("/folders/F1/upload-again")
        twice = await api.post("/folders/F1/upload-again")
        await transfer.upload()
        after = (await api.get("/status")).json()["blocked"]

    assert before["missing_in_cloud"] == 1
    assert answer.json() == {"recordings": 1}
    assert twice.status_code == 409
    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]
    assert set(after.values()) == {0}
    rows = await transfer.rows("select recording_id, transfer_version, clouds_uuid from transfer order by 1")
    assert [row["transfer_version"] for row in rows] == [2, 1]
    assert lost not in {row["clouds_uuid"] for row in rows}


async def test_an_upload_of_what_the_cloud_has_lost_is_shown_while_it_waits(
    transfer: Transfer, cloud: Emulator
) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.fold(a_transfer("R1", 1))
    cloud.arm(route="create", status=503, headers={"Retry-After": "60"})
    cloud.arm(route="create", status=422, filename="R1.wav")

    async with an_api(transfer) as api:
        uploaded = (await api.get("/status")).json()
        await api.post("/folders/F1/upload-again")
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


async def test_a_transfer_counts_as_work_until_the_topic_says_it(transfer: Transfer) -> None:
    await transfer.fold(a_recording("R1"))
    async with an_api(transfer) as api:
        await transfer.upload()
        unheard = (await api.get("/status")).json()["working"]
        await transfer.fold(a_transfer("R1", 1))
        heard = (await api.get("/status")).json()["working"]
        elsewhere = (await api.get("/status", params={"folder": "F2"})).json()["working"]

    assert (unheard, heard, elsewhere) == (1, 0, 0)


async def test_a_clock_that_was_set_back_does_not_bring_a_lost_folder_back(transfer: Transfer) -> None:
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    await transfer.change("update transfer set transferred_at = transferred_at + interval '1 hour'")
    await transfer.change("update folder set uuid_since = uuid_since + interval '1 hour'")
    first = (await transfer.rows("select transferred_at from transfer"))[0]["transferred_at"]

    async with an_api(transfer) as api:
        await api.post("/folders/F1/upload-again")
    await transfer.upload()

    assert (await transfer.rows("select transferred_at from transfer"))[0]["transferred_at"] > first


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


async def test_while_the_service_reads_its_own_facts_back_an_operator_is_told_to_wait(transfer: Transfer) -> None:
    transfer.gate.close("a test")

    async with an_api(transfer) as api:
        answer = await api.post("/folders/F1/upload-again")

    assert answer.status_code == 503
    assert answer.headers["retry-after"]
