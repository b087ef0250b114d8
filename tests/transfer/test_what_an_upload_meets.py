"""Every answer that an upload may get, by a cloud that honours idempotency keys and by one that does not.

Nothing was done: a new request goes when it may. Nobody knows: the same request is repeated under its key, or held for
a person where keys mean nothing. Never is a file there twice, and never is a recording rejected for it.
"""

from collections.abc import Mapping

import pytest

from schemas.events import Event
from services.transfer.upload_recordings import Claimed
from tests.emulator.running import Emulator
from tests.transfer.api import an_api
from tests.transfer.given import a_link, a_recording
from tests.transfer.running import Transfer, files_in_cloud, running_transfer

NOTHING_DONE: Mapping[str, dict[str, object]] = {
    "401": {"status": 401},
    "403": {"status": 403},
    "404": {"status": 404},
    "405": {"status": 405},
    "429": {"status": 429, "headers": {"Retry-After": "1"}},
    "503": {"status": 503},
}
NOBODY_KNOWS: Mapping[str, dict[str, object]] = {
    **{str(status): {"status": status} for status in (302, 408, 409, 425, 500, 501, 502, 504, 520)},
    "422, key reused": {"status": 422, "body": {"message": "Idempotency-Key reused"}},
    "200, a page": {"kind": "answer_after_effect", "status": 200},
    "200 that says nothing": {"kind": "answer_after_effect", "status": 200, "body": {"hello": "world"}},
    "200 with an error": {"kind": "answer_after_effect", "status": 200, "body": {"error": "no"}},
    "204": {"kind": "answer_after_effect", "status": 204},
    "closed before the effect": {"kind": "close_before_effect"},
    "closed after the effect": {"kind": "close_after_effect"},
    "a late effect": {"kind": "late_effect", "delay_s": 0.01},
}
STOPS = {"401": "unauthorized", "403": "unauthorized", "404": "no_route", "405": "no_route", "429": "rate_limited"}


async def met(transfer: Transfer, cloud: Emulator, route: str, fault: Mapping[str, object]) -> dict[str, int]:
    """R1 goes out on this route and meets the fault; what is blocked then."""
    await transfer.fold(a_recording("R0"))
    if route == "inject":
        await transfer.upload()
    cloud.arm(route=route, **fault)
    await transfer.fold(a_recording("R1"))
    await transfer.upload()
    async with an_api(transfer) as api:
        blocked: dict[str, int] = (await api.get("/status")).json()["blocked"]
    return {reason: number for reason, number in blocked.items() if number}


async def later(transfer: Transfer) -> None:
    """Waits are over, and whatever stopped the lane is in order again."""
    await transfer.change("update lane set reason = null, failures = 0")
    await transfer.waits_are_over()
    await transfer.upload()


@pytest.mark.parametrize("fault", NOTHING_DONE)
@pytest.mark.parametrize(("keys", "route"), [("with keys", "create"), ("without", "inject")])
async def test_what_did_nothing_is_shown_and_goes_later_as_a_new_request(
    transfer_url: str, cloud: Emulator, deployed: Emulator, keys: str, fault: str, route: str
) -> None:
    there = cloud if keys == "with keys" else deployed
    async with running_transfer(transfer_url, there) as transfer:
        blocked = await met(transfer, there, route, NOTHING_DONE[fault])
        lane = await transfer.rows("select reason from lane")
        open_requests = await transfer.rows("select 1 from upload_request")
        await later(transfer)

    assert set(blocked) == {"retrying"}
    assert lane == [{"reason": STOPS.get(fault)}]
    assert open_requests == []
    assert files_in_cloud(there) == [("Monday", "R0.wav"), ("Monday", "R1.wav")]


@pytest.mark.parametrize("fault", NOBODY_KNOWS)
async def test_what_nobody_knows_is_repeated_where_keys_are_honoured(
    transfer: Transfer, cloud: Emulator, fault: str
) -> None:
    blocked = await met(transfer, cloud, "create", NOBODY_KNOWS[fault])
    [request] = await transfer.rows("select id from upload_request")
    await later(transfer)

    assert set(blocked) == {"retrying"}
    assert files_in_cloud(cloud) == [("Monday", "R0.wav"), ("Monday", "R1.wav")]
    assert str(request["id"]) in {one["idempotency_key"] for one in cloud.effects() if one["kind"] == "create"}


@pytest.mark.parametrize("fault", NOBODY_KNOWS)
async def test_what_nobody_knows_is_held_and_not_repeated_where_keys_mean_nothing(
    transfer_url: str, deployed: Emulator, fault: str
) -> None:
    async with running_transfer(transfer_url, deployed) as transfer:
        blocked = await met(transfer, deployed, "inject", NOBODY_KNOWS[fault])
        before = deployed.control("GET", "requests/count")["by_route"]
        await later(transfer)
        after = deployed.control("GET", "requests/count")["by_route"]
        held = await transfer.rows("select held from folder")

    assert set(blocked) == {"outcome_unknown"}
    assert held == [{"held": "outcome_unknown"}]
    assert after == before


@pytest.mark.parametrize("news", [a_recording("R1", revision=2, transcript="mended"), a_link("R1")])
async def test_a_refusal_counts_for_what_was_sent_and_not_for_what_came_meanwhile(
    transfer: Transfer, cloud: Emulator, news: Event
) -> None:
    cloud.arm(route="create", status=422, filename="R1.wav")
    await transfer.fold(a_recording("R1"), a_recording("R2"))
    [claimed] = await transfer.uploading._claim([None])
    assert isinstance(claimed, Claimed)

    await transfer.fold(news)
    await transfer.uploading._record([(claimed, await transfer.uploading._send(claimed))])
    await transfer.upload_until_settled()

    assert files_in_cloud(cloud) == [("Monday", "R1.wav"), ("Monday", "R2.wav")]
