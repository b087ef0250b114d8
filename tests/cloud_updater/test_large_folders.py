"""A folder that owes more than one request holds: several go out under one lease, and each counts by itself."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from services.cloud_updater.claims import MAX_REQUESTS
from services.cloud_updater.decisions import MAX_FILES
from services.cloud_updater.push_tickets import FOLLOW_WITHIN_S, PushTickets
from services.cloud_updater.pushes import FREE_LEASES
from shared.cloud import Cloud, CloudSettings
from shared.outcome import Outcome
from tests.cloud_updater.given import a_link
from tests.cloud_updater.running import Updater, pushed, requests, running_updater, tickets, transferred
from tests.counting import counting
from tests.emulator.running import TOKEN, Emulator
from tests.sent import sent_to

pytestmark = pytest.mark.servers

NAMES = [f"R{number:04}" for number in range((MAX_REQUESTS + 1) * MAX_FILES + 1)]


async def _owe_all(updater: Updater, cloud: Emulator) -> str:
    uuid = await transferred(updater, cloud, *NAMES)
    await updater.fold(*(a_link(one, source="import") for one in NAMES))
    return uuid


async def _duties(updater: Updater) -> set[str]:
    return {row["recording_id"] for row in await updater.rows("select recording_id from duty")}


def _sizes(cloud: Emulator) -> list[int]:
    return [len(one) for one in pushed(cloud)]


async def test_full_requests_go_out_under_one_lease_and_the_rest_by_itself(updater: Updater, cloud: Emulator) -> None:
    uuid = await _owe_all(updater, cloud)

    async with counting(updater.database) as counted:
        await updater.pushing.step()
    at_first = _sizes(cloud)
    await updater.push_and_hear()

    assert at_first == [MAX_FILES] * MAX_REQUESTS
    assert counted.statements <= 14  # of a claim and a record, however many requests
    assert _sizes(cloud) == [MAX_FILES] * (MAX_REQUESTS + 1) + [1]
    assert set(tickets(cloud, uuid).values()) == {"T-1"}
    assert await updater.owed() == 0


@pytest.mark.parametrize("status", [503, 500, 429, 422, 400, 413])
async def test_what_the_cloud_has_taken_is_not_sent_again_after_a_failure(
    updater: Updater, cloud: Emulator, status: int
) -> None:
    """The third fails: the first two count."""
    await _owe_all(updater, cloud)
    named = NAMES[2 * MAX_FILES]
    cloud.arm(route="update_ticket", status=status, filename=f"{named}.wav", times=1)

    with sent_to(updater.database) as sent, capture_logs() as logs:
        await updater.pushing.step()
    [ledger] = await updater.rows("select cursor - (select min(seq) - 1 from recording) as taken, attempts from ledger")
    refused = await updater.rows("select recording_id from recording where rejected is not null")

    assert requests(cloud) == 3
    assert _sizes(cloud) == [MAX_FILES] * 2
    assert [one["files"] for one in logs if one["event"] == "tickets pushed"] == [MAX_FILES] * 2
    assert ledger["taken"] == 2 * MAX_FILES
    assert ledger["attempts"] == (0 if status in {413, 422} else 1)
    assert len(await updater.hear()) == 2 * MAX_FILES
    assert [one["recording_id"] for one in refused] == ([named] if status == 422 else [])
    if status == 422:  # as a fold locks them, or the two would wait for each other
        [rejects] = [place for place, one in enumerate(sent) if "set rejected" in one.text]
        [arrives] = [place for place, one in enumerate(sent) if "set cursor" in one.text]
        assert rejects < arrives


async def test_an_unknown_outcome_among_several_is_pushed_once_more(updater: Updater, cloud: Emulator) -> None:
    uuid = await _owe_all(updater, cloud)
    cloud.arm(route="update_ticket", kind="close_after_effect", filename=f"{NAMES[MAX_FILES]}.wav")

    await updater.pushing.step()
    duties = await _duties(updater)
    await updater.an_hour_passes()
    while await updater.again.step() == 0:
        pass
    await updater.push_and_hear()

    assert duties == set(NAMES[MAX_FILES : 2 * MAX_FILES])
    assert set(tickets(cloud, uuid).values()) == {"T-1"}
    assert await updater.owed() == 0


async def test_a_slow_cloud_gets_one_request_of_a_claim(updater_url: str, cloud: Emulator) -> None:
    """Whoever stops the process waits for the step that is under way."""
    async with running_updater(updater_url, cloud) as updater:
        await _owe_all(updater, cloud)
        cloud.arm(route="update_ticket", kind="slow_drip", delay_s=FOLLOW_WITHIN_S + 0.2)

        await updater.pushing.step()

        assert requests(cloud) == 1


async def test_a_limit_of_requests_a_minute_holds_for_each_of_them(updater_url: str, cloud: Emulator) -> None:
    async with running_updater(updater_url, cloud, requests_per_minute=600) as updater:
        await _owe_all(updater, cloud)

        await updater.pushing.step()

        assert requests(cloud) == 1


async def test_none_follows_once_the_gate_is_closed(updater: Updater, cloud: Emulator) -> None:
    """The database is another, so somebody else may have the folder."""

    async def close(_: PushTickets) -> None:
        updater.gate.close("the database was set back")

    await _owe_all(updater, cloud)
    await _step(updater, cloud, after_the_first=close)

    assert requests(cloud) == 1


async def test_none_follows_once_the_cloud_refuses_anything(updater: Updater, cloud: Emulator) -> None:
    """Such as 429 for another folder: the limit is for the whole lane."""

    async def refuse(pushing: PushTickets) -> None:
        await updater.fold(a_link("other"))
        await pushing.step()
        await updater.change("update lane set reason = null, probe_at = null")  # as if it were not written down yet
        await updater.fold(a_link("third"))
        await pushing.step()

    await transferred(updater, cloud, "other", folder_id="F2")
    await transferred(updater, cloud, "third", folder_id="F3")
    await _owe_all(updater, cloud)
    cloud.arm(route="update_ticket", status=429, filename="other.wav")

    await _step(updater, cloud, after_the_first=refuse)

    assert requests(cloud) == 3
    assert sorted(_sizes(cloud)) == [1, MAX_FILES]


async def test_a_crash_between_them_leaves_the_duty_for_all(updater: Updater, cloud: Emulator) -> None:
    await _owe_all(updater, cloud)

    await updater.claim_without_sending(requests=MAX_REQUESTS)
    await updater.change(FREE_LEASES)
    await updater.again.step()

    assert await _duties(updater) == set(NAMES[: MAX_REQUESTS * MAX_FILES])


async def test_all_that_a_worker_has_sent_is_pushed_once_more_if_it_lost_its_lease(
    updater: Updater, cloud: Emulator
) -> None:
    await _owe_all(updater, cloud)
    asleep, awake = asyncio.Event(), asyncio.Event()

    class Sleeping(Cloud):
        sent = 0

        async def post(self, call: str, path: str, body: bytes, **options: Any) -> Outcome:  # noqa: ANN401
            self.sent += 1
            if self.sent == MAX_REQUESTS:
                asleep.set()
                await awake.wait()
            return await super().post(call, path, body, **options)

    sleeping = Sleeping(CloudSettings(clouds_url=cloud.url, clouds_token=SecretStr(TOKEN)), token=lambda: TOKEN)
    step = asyncio.create_task(_over(updater, sleeping).step())
    await asleep.wait()
    await updater.an_hour_passes()
    await updater.again.step()
    await updater.change("delete from duty")  # of the claim that seemed to be left behind
    await updater.push()
    awake.set()
    await step
    await sleeping.close()

    assert await _duties(updater) == set(NAMES[: MAX_REQUESTS * MAX_FILES])


def _over(updater: Updater, cloud: Cloud) -> PushTickets:
    own = updater.pushing
    return PushTickets(own.settings, own.send_within_s, own.database, own.gate, cloud, own.lane)


async def _step(
    updater: Updater, cloud: Emulator, *, after_the_first: Callable[[PushTickets], Awaitable[object]]
) -> None:
    """A step of which somebody else does something while its first request is under way."""

    class Interrupted(Cloud):
        sent = 0

        async def post(self, call: str, path: str, body: bytes, **options: Any) -> Outcome:  # noqa: ANN401
            self.sent += 1
            outcome = await super().post(call, path, body, **options)
            if self.sent == 1:
                await after_the_first(pushing)
            return outcome

    client = Interrupted(CloudSettings(clouds_url=cloud.url, clouds_token=SecretStr(TOKEN)), token=lambda: TOKEN)
    pushing = _over(updater, client)
    await pushing.step()
    await client.close()
