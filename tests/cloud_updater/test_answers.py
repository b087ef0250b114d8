"""What the cloud's answers lead to, over real HTTP: nothing is lost, nothing good is held up by something bad."""

from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from services.cloud_updater import seen
from tests.cloud_updater.given import a_link, a_resync, a_transfer
from tests.cloud_updater.running import Updater, pushed, requests, running_updater, tickets, transferred
from tests.emulator.running import Emulator


async def _lane(updater: Updater) -> str | None:
    async with updater.database.transaction() as connection:
        return (await updater.lane.look(connection)).reason


async def _next_try_in_s(updater: Updater) -> float:
    rows = await updater.rows("select extract(epoch from due_at - now()) as s from ledger where due_at is not null")
    return float(rows[0]["s"])


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 500}, {"status": 408}, {"status": 425}])
async def test_a_push_that_failed_is_tried_again(updater: Updater, cloud: Emulator, fault: dict[str, object]) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(route="update_ticket", **fault)

    await updater.fold(a_link("R1"))
    await updater.push()
    wait_s, blocked = await _next_try_in_s(updater), await updater.blocked()
    await updater.an_hour_passes()
    await updater.push_and_hear()

    assert 0 < wait_s <= 2
    assert blocked == {"retrying": 1}
    assert tickets(cloud, uuid) == {"R1": "T-1"}
    assert await updater.blocked() == {}


@pytest.mark.parametrize(
    ("headers", "body", "least_s", "most_s"),
    [
        ({"Retry-After": "7"}, None, 6.5, 7.7),
        (
            {"Retry-After": (datetime.now(UTC) + timedelta(hours=2)).strftime("%a, %d %b %Y %H:%M:%S GMT")},
            None,
            890,
            990,
        ),
        ({"Retry-After": "99999999999"}, None, 890, 990),
        ({"Retry-After": "Wed, 29 Jan 2025 10:30:00 GMT"}, None, 0, 2),
        ({"Retry-After": "0"}, None, 0.1, 2),
        ({"Retry-After": "soon"}, {"retry_after": 20}, 19, 22),
        ({}, {"retry_after": 20}, 19, 22),
        ({"Retry-After": "-1"}, None, 0, 2),
        ({"Retry-After": "soon"}, {"retry_after": "never"}, 0, 2),
    ],
)
@pytest.mark.parametrize("status", [503, 429])
async def test_the_cloud_says_how_long_to_wait(
    updater: Updater, cloud: Emulator, status: int, headers: dict[str, str], body: object, least_s: float, most_s: float
) -> None:
    await transferred(updater, cloud, "R1")
    cloud.arm(route="update_ticket", status=status, headers=headers, body=body or {"message": "later"})

    await updater.fold(a_link("R1"))
    await updater.pushing.step()

    assert least_s <= await _next_try_in_s(updater) <= most_s


async def test_waits_grow_while_a_folder_keeps_failing(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    cloud.arm(route="update_ticket", status=500, times=None)
    await updater.fold(a_link("R1"))

    waits = []
    for _ in range(12):
        await updater.change("update ledger set due_at = now()")
        await updater.change("update lane set probe_at = now()")
        await updater.pushing.step()
        waits.append(await _next_try_in_s(updater))

    assert all(0 < wait_s <= 900 for wait_s in waits)
    assert max(waits[8:]) > 10
    assert await updater.rows("select attempts from ledger") == [{"attempts": 12}]


async def test_unnamed_refusals_are_narrowed_down_to_the_one_file(updater: Updater, cloud: Emulator) -> None:
    names = [f"R{number}" for number in range(8)]
    uuid = await transferred(updater, cloud, *names)
    cloud.arm(status=422, route="update_ticket", filename="R5.wav", body={"message": "No."}, times=None)

    await updater.fold(*(a_link(name) for name in names))
    await updater.push_and_hear()

    assert tickets(cloud, uuid) == {**dict.fromkeys(names, "T-1"), "R5": None}
    assert await updater.rows("select recording_id, rejected from recording where rejected is not null") == [
        {"recording_id": "R5", "rejected": "422: No."}
    ]
    assert await updater.blocked() == {"rejected": 1}


async def test_named_refusals_cost_one_request_more(updater: Updater, cloud: Emulator) -> None:
    names = [f"R{number}" for number in range(6)]
    uuid = await transferred(updater, cloud, *names)
    errors = {"files.1.token": ["The token is odd."], "files.4.size": "too big", "files.77.size": ["nobody"]}
    cloud.arm(status=422, route="update_ticket", body={"message": "Invalid.", "errors": errors})

    await updater.fold(*(a_link(name) for name in names))
    with capture_logs() as lines:
        await updater.push_and_hear()

    assert requests(cloud) == 2
    refused = [line for line in lines if line["event"] == "ticket refused by the cloud"]
    assert [(line["log_level"], line["recording_id"]) for line in refused] == [("error", "R1"), ("error", "R4")]
    assert tickets(cloud, uuid) == {**dict.fromkeys(names, "T-1"), "R1": None, "R4": None}
    assert await updater.rows("select recording_id, rejected from recording where rejected is not null order by 1") == [
        {"recording_id": "R1", "rejected": "token: The token is odd."},
        {"recording_id": "R4", "rejected": "size: too big"},
    ]


async def test_a_request_that_is_too_large_is_halved(updater: Updater, cloud: Emulator) -> None:
    names = [f"R{number}" for number in range(10)]
    uuid = await transferred(updater, cloud, *names)
    cloud.arm(status=413, route="update_ticket", files_at_least=4, times=None)

    await updater.fold(*(a_link(name) for name in names))
    await updater.push_and_hear()

    assert tickets(cloud, uuid) == dict.fromkeys(names, "T-1")
    assert max(len(files) for files in pushed(cloud)) <= 3
    assert await updater.rows("select attempts from ledger") == [{"attempts": 0}]


async def test_a_single_file_that_is_too_large_is_rejected(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    cloud.arm(status=413, route="update_ticket", filename="R1.wav", times=None)

    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push_and_hear()

    assert tickets(cloud, uuid) == {"R1": None, "R2": "T-1"}
    assert await updater.blocked() == {"rejected": 1}


async def test_any_other_refusal_is_shown_with_status_and_message(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    cloud.arm(status=418, route="update_ticket", body={"message": "I am a\x00 teapot 😀"})

    await updater.fold(a_link("R1"))
    await updater.push()

    assert await updater.rows("select rejected from recording") == [{"rejected": "418: I am a teapot 😀"}]


async def test_after_a_refusal_was_narrowed_down_requests_grow_again(updater: Updater, cloud: Emulator) -> None:
    names = [f"R{number}" for number in range(64)]
    await transferred(updater, cloud, *names)
    cloud.arm(status=422, route="update_ticket", filename="R0.wav", body={"message": "No."}, times=None)

    await updater.fold(*(a_link(name) for name in names))
    await updater.push_and_hear()

    assert [len(files) for files in pushed(cloud)] == [1, 2, 4, 8, 16, 32]
    assert await updater.rows("select batch_limit from ledger") == [{"batch_limit": 64}]


async def test_a_wrong_token_stops_the_lane_and_nothing_is_rejected(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(status=401, route="update_ticket")

    await updater.fold(a_link("R1"))
    await updater.push()
    stopped, blocked = await _lane(updater), await updater.blocked()
    await updater.an_hour_passes()
    await updater.push()
    sent = requests(cloud)
    await updater.change("update lane set pinged_at = null")
    await updater.lane.ping()
    await updater.push()

    assert (stopped, blocked, sent) == ("unauthorized", {"retrying": 1}, 1)
    assert await _lane(updater) is None
    assert tickets(cloud, uuid) == {"R1": "T-1"}


async def test_a_missing_route_is_waited_for(updater: Updater, cloud: Emulator) -> None:
    cloud.control("PUT", "capabilities", {"capabilities": []})
    await updater.lane.ping()
    uuid = cloud.folder({"filename": "R1.wav", "token": 1, "size": "1 KB", "transcribe": "a"})
    await updater.fold(a_link("R1"))
    await updater.fold(a_transfer("R1", uuid=uuid))
    await updater.push()
    stopped, blocked = await _lane(updater), await updater.blocked()
    cloud.control("PUT", "capabilities", {"capabilities": ["ticket-info"]})
    await updater.change("update lane set pinged_at = null")
    await updater.lane.ping()
    await updater.push()

    assert (stopped, blocked) == ("no_route", {"retrying": 1})
    assert tickets(cloud, uuid) == {"R1": "T-1"}


async def test_what_waits_behind_a_stopped_lane_says_why(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    await transferred(updater, cloud, "R2", folder_id="F2")
    cloud.arm(status=403, route="update_ticket")
    await updater.fold(a_link("R1"))
    await updater.push()

    await updater.fold(a_link("R2"))

    assert await updater.blocked() == {"retrying": 2}
    async with updater.database.transaction() as connection:
        one = await seen.recording(connection, "R2", shut=True)
    assert one is not None
    assert (one.reason, one.owed) == ("retrying", True)


async def test_a_forced_push_that_fails_is_no_recording_that_is_behind(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    await updater.fold(a_link("R1"))
    await updater.push_and_hear()
    cloud.arm(status=503, route="update_ticket")

    await updater.resync(a_resync(force=True))
    await updater.push()

    assert await updater.blocked() == {}
    assert await updater.owed() == 1


async def test_a_cloud_that_cannot_be_reached_costs_nothing_but_time(updater_url: str, cloud: Emulator) -> None:
    async with running_updater(updater_url, cloud) as updater:
        uuid = await transferred(updater, cloud, "R1")
    async with running_updater(updater_url, "http://127.0.0.1:9") as updater:
        await updater.fold(a_link("R1"))
        await updater.push()
        blocked = await updater.blocked()
        duties = await updater.rows("select * from duty")
    async with running_updater(updater_url, cloud) as updater:
        await updater.an_hour_passes()
        await updater.push()

    assert (blocked, duties) == ({"retrying": 1}, [])
    assert tickets(cloud, uuid) == {"R1": "T-1"}
