"""An upload of unknown outcome whose repeat is refused, or would be none any more: its files never go out twice."""

from collections.abc import AsyncIterator

import pytest

from tests.emulator.running import Emulator, running_emulator
from tests.transfer.api import an_api
from tests.transfer.given import a_recording
from tests.transfer.running import Transfer, files_in_cloud, running_transfer

NOT_FOUND = {"status": 400, "error": "Bad Request", "message": "Recording not found"}
REFUSALS = [
    {"status": 400},
    {"status": 400, "body": NOT_FOUND},
    {"status": 413},
    {"status": 418},
    {"status": 422, "filename": "R1.wav"},
    {"status": 422, "body": {"message": "no"}},
]
ROUTES = ["create", "inject"]


@pytest.fixture
async def keyless(transfer_url: str, deployed: Emulator) -> AsyncIterator[Transfer]:
    """At a cloud that honours no keys, with the standing order to repeat all the same."""
    async with running_transfer(transfer_url, deployed, cloud_resend_unknown=True) as service:
        yield service


async def refused_after(transfer: Transfer, cloud: Emulator, route: str, first: str, answer: dict[str, object]) -> None:
    """R1 and R2 go out on this route, the first sending ends as `first` says, the repeat gets the answer."""
    if route == "inject":
        await transfer.fold(a_recording("R0"))
        await transfer.upload()
    cloud.arm(route=route, kind=first)
    cloud.arm(route=route, **answer)
    await transfer.fold(a_recording("R1"), a_recording("R2"))
    for _ in range(4):
        await transfer.waits_are_over()
        await transfer.upload()


async def assert_held(transfer: Transfer) -> None:
    assert await transfer.rows("select held from folder") == [{"held": "outcome_unknown"}]
    assert await transfer.rows("select attempts from upload_request") == [{"attempts": 2}]
    assert await transfer.rows("select 1 from recording where rejected is not null") == []
    async with an_api(transfer) as api:
        blocked = (await api.get("/recordings/R1")).json()["blocked"]
    assert blocked["reason"] == "outcome_unknown"
    assert blocked["message"].endswith("this refuses a repeat, the first sending may have had its effect")


def of_the_two(cloud: Emulator) -> list[tuple[str, str]]:
    return [file for file in files_in_cloud(cloud) if file[1] != "R0.wav"]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("answer", REFUSALS, ids=str)
async def test_files_of_a_refused_repeat_are_held(
    transfer: Transfer, cloud: Emulator, route: str, answer: dict[str, object]
) -> None:
    await refused_after(transfer, cloud, route, "close_after_effect", answer)

    await assert_held(transfer)
    assert of_the_two(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]


@pytest.mark.parametrize("route", ROUTES)
@pytest.mark.parametrize("answer", REFUSALS, ids=str)
async def test_files_of_a_refused_repeat_are_held_where_keys_are_not_honoured(
    keyless: Transfer, deployed: Emulator, route: str, answer: dict[str, object]
) -> None:
    await refused_after(keyless, deployed, route, "close_after_effect", answer)

    await assert_held(keyless)
    assert of_the_two(deployed) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]


async def test_an_operator_who_finds_nothing_in_the_cloud_sends_them_again(transfer: Transfer, cloud: Emulator) -> None:
    await refused_after(transfer, cloud, "create", "close_before_effect", {"status": 413})
    await assert_held(transfer)

    async with an_api(transfer) as api:
        await api.post("/folders/F1/answer", json={"answer": "send_again"})
    await transfer.upload()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]


@pytest.mark.parametrize("status", [401, 403, 404, 429, 503])
async def test_a_repeat_that_was_only_put_off_stays_open_and_keeps_its_key(
    keyless: Transfer, deployed: Emulator, status: int
) -> None:
    await keyless.fold(a_recording("R1"))
    deployed.arm(route="create", kind="close_before_effect")
    deployed.arm(route="create", status=status)
    await keyless.upload()
    [frozen] = await keyless.rows("select id from upload_request")
    await keyless.waits_are_over()
    await keyless.upload()
    assert await keyless.rows("select id from upload_request") == [frozen]

    await keyless.change("update lane set reason = null, pinged_at = null")
    await keyless.waits_are_over()
    await keyless.upload()

    assert files_in_cloud(deployed) == [("Monday", "R1.wav")]
    assert [effect["idempotency_key"] for effect in deployed.effects()] == [str(frozen["id"])]


async def test_what_went_out_under_a_key_is_held_if_the_cloud_honours_keys_no_longer(transfer_url: str) -> None:
    with running_emulator() as cloud:
        async with running_transfer(transfer_url, cloud) as transfer:
            cloud.arm(route="create", kind="close_after_effect")
            await transfer.fold(a_recording("R1"))
            await transfer.upload()

            cloud.control("PUT", "capabilities", {"capabilities": ["ticket-info"]})
            await transfer.lane.ping()
            await transfer.waits_are_over()
            await transfer.upload()

            assert files_in_cloud(cloud) == [("Monday", "R1.wav")]
            assert await transfer.rows("select held from folder") == [{"held": "outcome_unknown"}]
            async with an_api(transfer) as api:
                blocked = (await api.get("/recordings/R1")).json()["blocked"]
            assert blocked["message"].endswith("not repeated, because the cloud honours no idempotency keys")
