"""A push of which nobody knows whether it had its effect, or will yet: its recordings are pushed once more later."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.push_tickets import PushTickets
from services.cloud_updater.pushes import FREE_LEASES
from shared.cloud import Cloud, CloudSettings
from shared.database import Database
from shared.outcome import Outcome
from tests.cloud_updater.given import a_link, a_transfer, an_update
from tests.cloud_updater.running import (
    Updater,
    holding,
    pushed,
    requests,
    running_updater,
    tickets,
    transferred,
)
from tests.emulator.running import TOKEN, Emulator, a_file


async def _duties(updater: Updater) -> list[str]:
    return [row["recording_id"] for row in await updater.rows("select recording_id from duty order by 1")]


async def _second_pushes(updater: Updater) -> None:
    await updater.an_hour_passes()
    while await updater.again.step() == 0:
        pass
    await updater.push_and_hear()


async def _effects(cloud: Emulator, count: int) -> None:
    async with asyncio.timeout(10):
        while len(pushed(cloud)) < count:  # noqa: ASYNC110  # the cloud is another process
            await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    "fault",
    [
        {"kind": "close_after_effect"},
        {"kind": "close_before_effect"},
        {"kind": "answer_after_effect", "status": 502},
        {"kind": "answer", "status": 504},
        {"kind": "answer_after_effect", "status": 302},
        {"kind": "answer_after_effect", "status": 200},  # HTML
        {"kind": "answer", "status": 409},
        {"kind": "answer_after_effect", "status": 200, "body": {"error": "half done"}},
    ],
)
async def test_an_unknown_outcome_leaves_the_duty_to_push_once_more(
    updater: Updater, cloud: Emulator, fault: dict[str, object]
) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(route="update_ticket", **fault)

    await updater.fold(a_link("R1"))
    await updater.push()
    duties = await _duties(updater)
    blocked = await updater.blocked()
    await updater.an_hour_passes()
    await updater.push_and_hear()
    acknowledged = requests(cloud)
    await _second_pushes(updater)
    await _second_pushes(updater)

    assert duties == ["R1"]
    assert blocked == {"retrying": 1}
    assert acknowledged == 2
    assert requests(cloud) == 3  # no acknowledgement in between clears the duty, and it is done once
    assert tickets(cloud, uuid) == {"R1": "T-1"}
    assert await updater.owed() == 0


async def test_a_timeout_is_an_unknown_outcome(updater_url: str, cloud: Emulator) -> None:
    async with running_updater(updater_url, cloud, cloud_timeout_s=2) as updater:
        await transferred(updater, cloud, "R1")
        cloud.arm(kind="slow_drip", route="update_ticket", delay_s=5)

        await updater.fold(a_link("R1"))
        await updater.push()

        assert await _duties(updater) == ["R1"]
        assert (await updater.rows("select last_error from ledger"))[0]["last_error"] == "no answer within 2 s"


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500, 503])
async def test_a_definite_answer_leaves_no_duty(updater: Updater, cloud: Emulator, status: int) -> None:
    await transferred(updater, cloud, "R1")
    cloud.arm(status=status, route="update_ticket")

    await updater.fold(a_link("R1"))
    await updater.pushing.step()

    assert await _duties(updater) == []
    assert await updater.rows("select * from claim") == []


async def test_a_late_old_request_cannot_win_for_long(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(kind="late_effect", route="update_ticket", delay_s=1.5)
    await updater.fold(a_link("R1", 1, ticket_id="OLD"))
    await updater.push()
    await updater.fold(a_link("R1", 2, ticket_id="NEW"))
    await updater.an_hour_passes()
    await updater.push_and_hear()
    await _effects(cloud, 2)
    shown_for_a_while = tickets(cloud, uuid)

    await _second_pushes(updater)

    assert shown_for_a_while == {"R1": "OLD"}
    assert tickets(cloud, uuid) == {"R1": "NEW"}


async def test_a_cloud_that_compares_link_versions_needs_no_second_push(updater: Updater, cloud: Emulator) -> None:
    cloud.control("PUT", "capabilities", {"capabilities": ["ticket-info", "link-version"]})
    await updater.lane.ping()
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(kind="late_effect", route="update_ticket", delay_s=1.5)
    await updater.fold(a_link("R1", 1, ticket_id="OLD"))
    await updater.push()
    await updater.fold(a_link("R1", 2, ticket_id="NEW"))
    await updater.an_hour_passes()
    await updater.push_and_hear()
    await _effects(cloud, 2)

    assert tickets(cloud, uuid) == {"R1": "NEW"}
    assert await _duties(updater) == []


async def test_a_crash_leaves_a_claim_and_the_claim_a_duty(updater: Updater, updater_url: str, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1"))
    cloud.control("POST", "hold", {"route": "update_ticket"})
    step = asyncio.create_task(updater.pushing.step())
    await asyncio.to_thread(cloud.wait_until_held)
    step.cancel()  # as a crash: nothing of the outcome is recorded
    await asyncio.gather(step, return_exceptions=True)
    cloud.control("POST", "release")

    async with running_updater(updater_url, cloud) as after_the_crash:
        await after_the_crash.push()
        while_leased = requests(cloud)
        await after_the_crash.change(FREE_LEASES)
        await after_the_crash.again.step()
        await after_the_crash.push_and_hear()
        duties = await _duties(after_the_crash)
        await _second_pushes(after_the_crash)

    assert while_leased == 1
    assert duties == ["R1"]
    assert requests(cloud) == 3
    assert tickets(cloud, uuid) == {"R1": "T-1"}


@pytest.mark.parametrize("status", [None, 422, 400, 503, 413])
async def test_a_lost_lease_changes_nothing_of_what_another_worker_finds_out(
    updater: Updater, cloud: Emulator, status: int | None
) -> None:
    """Whatever the late answer says: another worker has the folder now, and what that one finds out counts."""
    await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1"))
    cloud.control("POST", "hold", {"route": "update_ticket", "moment": "after_effect"})
    if status:
        cloud.arm(kind="answer_after_effect", status=status, route="update_ticket")
    async with holding(updater, cloud):
        await updater.an_hour_passes()
        await updater.again.step()
        theirs = await updater.claim_without_sending()
        before = await updater.rows("select * from ledger, recording, claim")
        (duty,) = await updater.rows("select due_at from duty")

    assert theirs.files[0].recording_id == "R1"
    assert await updater.rows("select * from ledger, recording, claim") == before
    assert [(row["recording_id"], row["attempts"], row["token"]) for row in before] == [("R1", 0, theirs.token)]
    # What had its effect came late, perhaps after something newer: the second push is put off until after it.
    (after,) = await updater.rows("select due_at from duty")
    assert (after["due_at"] > duty["due_at"]) == (status is None)


@pytest.mark.parametrize("cut", [(), (2,), (1, 3)])
async def test_a_worker_that_sleeps_before_its_request_leaves_does_not_have_the_last_word(
    updater: Updater, updater_url: str, cloud: Emulator, cut: tuple[int, ...]
) -> None:
    """It slept through its lease and through the second push that its claim had led to; of its transactions after it
    has woken these are cut off."""
    uuid = await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1", 1, ticket_id="OLD"))
    asleep, awake = asyncio.Event(), asyncio.Event()

    class Sleeping(Cloud):
        async def post(self, call: str, path: str, body: bytes, **options: Any) -> Outcome:  # noqa: ANN401
            asleep.set()
            await awake.wait()
            return await super().post(call, path, body, **options)

    class Cut(Database):
        begun = 0

        @asynccontextmanager
        async def transaction(self, *, keep: bool = True) -> AsyncIterator[AsyncConnection]:
            async with super().transaction(keep=keep) as connection:
                yield connection
                self.begun += awake.is_set()
                if awake.is_set() and self.begun in cut:
                    raise ConnectionResetError

    settings = CloudSettings(clouds_url=cloud.url, clouds_token=SecretStr(TOKEN))
    own, database = updater.pushing, Cut(updater_url, pool_size=2)
    sleeper = PushTickets(
        own.settings, own.send_within_s, database, own.gate, Sleeping(settings, token=lambda: TOKEN), own.lane
    )
    step = asyncio.create_task(sleeper.step())
    await asleep.wait()
    async with running_updater(updater_url, cloud) as other:
        await other.fold(a_link("R1", 2, ticket_id="NEW"))
        for _ in range(2):
            await _second_pushes(other)
        assert (tickets(cloud, uuid), await _duties(other)) == ({"R1": "NEW"}, [])

        awake.set()
        await step
        late = tickets(cloud, uuid)
        await _second_pushes(other)
    await sleeper.cloud.close()
    await database.close()

    assert late == {"R1": "OLD"}
    assert tickets(cloud, uuid) == {"R1": "NEW"}


async def test_a_second_push_states_what_is_newest_then(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(kind="close_after_effect", route="update_ticket")
    await updater.fold(a_link("R1", 1, ticket_id="OLD"))
    await updater.push()

    await updater.fold(a_link("R1", 2, ticket_id=None))
    await _second_pushes(updater)

    assert tickets(cloud, uuid) == {"R1": None}
    assert pushed(cloud) == [["R1"], ["R1"]]


async def test_a_second_push_goes_where_the_recording_is_now(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    cloud.arm(kind="close_after_effect", route="update_ticket")
    await updater.fold(a_link("R1"))
    await updater.push()
    new = cloud.folder(a_file("R1.wav"))

    await updater.fold(a_transfer("R1", 2, uuid=new))
    await _second_pushes(updater)
    await updater.fold(an_update("R1", 2, 1, uuid=new))

    assert tickets(cloud, new) == {"R1": "T-1"}
    assert await updater.owed() == 0


async def test_a_second_push_waits_for_a_folder_that_fails(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    cloud.arm(kind="close_after_effect", route="update_ticket")
    await updater.fold(a_link("R1"))
    await updater.push()
    await updater.change("update duty set due_at = now()")
    await updater.change("update ledger set due_at = now() + interval '10 minutes'")

    await updater.again.step()
    await updater.push()

    assert requests(cloud) == 1
    assert await updater.blocked() == {"retrying": 1}
