"""What people who look find: what is blocked page by page, where a link stands, and what the cloud really shows."""

from typing import Any
from urllib.parse import quote

import pytest

from tests.cloud_updater.given import a_link, a_transfer
from tests.cloud_updater.running import Updater, running_updater, transferred
from tests.emulator.running import Emulator, a_file

pytestmark = pytest.mark.servers


async def get(updater: Updater, path: str, **params: object) -> dict[str, Any]:
    async with updater.api() as api:
        answer = await api.get(path, params={name: str(value) for name, value in params.items()})
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


async def verified(updater: Updater, uuid: str, query: str = "") -> dict[str, Any]:
    async with updater.api() as api:
        answer = await api.get(f"/folders/{quote(uuid, safe='')}/verification{query}")
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


def verdicts(found: dict[str, Any]) -> dict[str, str]:
    return {one["filename"]: one["verdict"] for one in found["items"]}


async def test_where_a_link_stands_is_kept_with_it(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1", "R2")
    await updater.fold(a_link("R2"), a_link("R1"))
    await updater.fold(a_link("R1"))  # at another place, and nothing new

    about = await get(updater, "/recordings/R1")

    assert about["linked"] == {"topic": "TicketLinked", "partition": 0, "offset": 1}
    assert (about["attempts"], about["resyncs"]) == (0, [])


async def test_what_is_blocked_is_listed_page_by_page_what_needs_a_person_first(
    updater: Updater, cloud: Emulator
) -> None:
    await transferred(updater, cloud, "R1", "R2", "R3")
    cloud.arm(route="update_ticket", status=422, filename="R2.wav", times=None)
    await updater.fold(a_link("R2"))
    await updater.push()
    cloud.arm(route="update_ticket", status=503, times=1)
    await updater.fold(a_link("R1"), a_link("R3"))
    await updater.pushing.step()

    pages = [await get(updater, "/blocked", limit=1)]
    while pages[-1]["next_cursor"]:
        pages.append(await get(updater, "/blocked", limit=1, cursor=pages[-1]["next_cursor"]))
    retrying = await get(updater, "/blocked", reason="retrying")

    found = [(one["recording_id"], one["reason"]) for page in pages for one in page["items"]]
    assert found == [("R2", "rejected"), ("R1", "retrying"), ("R3", "retrying")]
    assert [one["recording_id"] for one in retrying["items"]] == ["R1", "R3"]
    assert (await get(updater, "/recordings/R2"))["blocked"]["reason"] == "rejected"
    assert (await get(updater, "/recordings/R3"))["blocked"]["reason"] == "retrying"


async def test_a_cursor_of_another_list_is_refused(updater: Updater, cloud: Emulator) -> None:
    await transferred(updater, cloud, "R1")
    cursor = (await get(updater, "/folders", limit=1))["next_cursor"]

    async with updater.api() as api:
        refused = await api.get("/blocked", params={"cursor": cursor})

    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == "query.cursor"


async def test_folders_are_listed_with_what_is_in_them(updater: Updater, cloud: Emulator) -> None:
    first = await transferred(updater, cloud, "R1", "R2")
    second = await transferred(updater, cloud, "R3", folder_id="F2")

    everything = await get(updater, "/folders")
    one = await get(updater, "/folders", folder="F2")

    assert {(each["clouds_uuid"], each["recordings"]) for each in everything["items"]} == {(first, 2), (second, 1)}
    assert [each["clouds_uuid"] for each in one["items"]] == [second]


async def test_a_folder_that_shows_what_it_should_has_no_finding(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2", 'with "quotes" \\ and ü')
    await updater.fold(a_link("R1"))
    await updater.push_and_hear()

    found = await verified(updater, uuid)

    assert found["observed"] is True
    assert found["items"] == []
    assert found["counts"]["in_sync"] == 3


async def test_what_the_cloud_lost_or_changed_behind_our_back_is_found(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2", "R3")
    await updater.fold(a_link("R1"), a_link("R2"))
    await updater.push_and_hear()
    cloud.update_ticket(uuid, {**a_file("R1.wav"), "ticket_info": None}).raise_for_status()
    cloud.inject(uuid, a_file("stranger.wav")).raise_for_status()
    await updater.fold(a_link("R3"))
    await updater.fold(a_transfer("R4", uuid=uuid))

    found = await verified(updater, uuid)
    asked_for = await verified(updater, uuid, "?recording=R2&recording=R3")

    assert verdicts(found) == {
        "R1.wav": "ticket_mismatch",
        "R3.wav": "stale",
        "R4.wav": "missing_in_cloud",
        "stranger.wav": "extra_in_cloud",
    }
    assert found["counts"]["in_sync"] == 1
    assert verdicts(asked_for) == {"R2.wav": "in_sync", "R3.wav": "stale"}


async def test_a_folder_that_the_cloud_has_lost_is_missing(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.delete(uuid)

    assert verdicts(await verified(updater, uuid)) == {"R1.wav": "missing_in_cloud"}


async def test_a_cloud_that_cannot_be_read_is_believed_what_it_acknowledged(updater: Updater, cloud: Emulator) -> None:
    uuid = await transferred(updater, cloud, "R1", "R2")
    await updater.fold(a_link("R1"))
    await updater.push_and_hear()
    await updater.fold(a_link("R2"))
    cloud.control("PUT", "capabilities", {"capabilities": ["ticket-info"]})
    await updater.lane.ping()

    found = await verified(updater, uuid)

    assert found["observed"] is False
    assert verdicts(found) == {"R2.wav": "stale"}


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"status": 500}, 502),
        ({"status": 404}, 502),
        ({"status": 429}, 503),
        ({"status": 200, "body": '{"data": {}}'}, 502),
        ({"status": 200, "body": '{"data": {"files": [{"filename": 7}]}}'}, 502),
    ],
    ids=str,
)
async def test_an_answer_that_says_nothing_is_no_finding(
    updater: Updater, cloud: Emulator, fault: dict[str, Any], status: int
) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(route="read", times=None, **fault)

    async with updater.api() as api:
        answer = await api.get(f"/folders/{quote(uuid, safe='')}/verification")

    assert answer.status_code == status
    assert ("Retry-After" in answer.headers) == (status == 503)


@pytest.mark.parametrize("fault", [{"status": 500}, {"status": 503}, {"kind": "close_before_effect"}], ids=str)
async def test_reads_that_fail_do_not_stop_the_pushes(updater: Updater, cloud: Emulator, fault: dict[str, Any]) -> None:
    uuid = await transferred(updater, cloud, "R1")
    cloud.arm(route="read", times=None, **fault)

    async with updater.api() as api:
        answers = [await api.get(f"/folders/{quote(uuid, safe='')}/verification") for _ in range(6)]

    assert {one.status_code for one in answers} == {502}
    assert await updater.rows("select reason from lane") == [{"reason": None}]


async def test_reading_back_waits_for_its_turn_and_never_opens_a_stopped_lane(
    updater_url: str, cloud: Emulator
) -> None:
    async with running_updater(updater_url, cloud, requests_per_minute=1) as updater:
        uuid = cloud.folder(a_file("R1.wav"))
        await updater.fold(a_transfer("R1", uuid=uuid))
        path = f"/folders/{quote(uuid, safe='')}/verification"
        async with updater.api() as api:
            first, second = await api.get(path), await api.get(path)
            await updater.change("update lane set reason = 'circuit_open', message = 'x', probe_at = now()")
            stopped = await api.get(path)
            unknown = await api.get("/folders/nowhere/verification")

    assert (first.status_code, second.status_code) == (200, 503)
    assert second.headers["Retry-After"] == "60"
    assert stopped.status_code == 502
    assert "circuit_open" in stopped.json()["detail"]
    assert unknown.status_code == 404
