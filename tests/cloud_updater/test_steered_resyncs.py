"""Resyncs as an operator has them in hand: the plan, the rate, pause, resume, cancel, and how far they are."""

from typing import Any

import httpx
import pytest

from services.cloud_updater import expand_resyncs
from services.cloud_updater.decisions import Share, decide_resync_lot
from tests.cloud_updater.given import a_link, a_resync, a_transfer
from tests.cloud_updater.running import Updater, pushed, requests, running_updater, transferred
from tests.emulator.running import Emulator


def an_api(updater: Updater) -> httpx.AsyncClient:
    """Asked in ann's name."""
    client = updater.api()
    client.headers["X-Requested-By"] = "ann"
    return client


async def plan(updater: Updater, **body: object) -> dict[str, Any]:
    async with an_api(updater) as api:
        answer = await api.post("/resyncs/plan", json=body or {"all": True})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def counts(found: dict[str, Any]) -> tuple[int, int, int, int]:
    return found["to_send"], found["blocked"], found["in_sync"], found["no_ticket"]


async def mixed(updater: Updater, cloud: Emulator) -> None:
    """In sync: S1 (F1). Refused: X1 (F1). Without a ticket: N1 (F1). Owed: P1 and P2 (F2). Not transferred: W1."""
    await transferred(updater, cloud, "S1", "X1", "N1", folder_id="F1")
    await transferred(updater, cloud, "P1", "P2", folder_id="F2")
    cloud.arm(status=422, route="update_ticket", filename="X1.wav")
    await updater.fold(a_link("S1"), a_link("X1"), a_link("W1"))
    await updater.push_and_hear()
    await updater.fold(a_link("P1"), a_link("P2"))


async def test_a_plan_says_what_a_resync_would_send_and_changes_nothing(updater: Updater, cloud: Emulator) -> None:
    await mixed(updater, cloud)
    before = await updater.rows("select * from ledger order by clouds_uuid")

    of_all = await plan(updater)
    assert counts(of_all) == (2, 1, 1, 1)
    assert (of_all["folders"], of_all["requests"], of_all["not_transferred"]) == (2, 2, None)
    assert counts(await plan(updater, folder_id="F1")) == (0, 1, 1, 1)
    assert counts(await plan(updater, folder_id="F1", force=True)) == (1, 1, 0, 1)
    of_some = await plan(updater, recording_ids=["S1", "P1", "W1", "unknown", "P1"])
    assert (counts(of_some), of_some["not_transferred"], of_some["requests"]) == ((1, 0, 1, 0), 2, 1)
    assert await updater.rows("select * from ledger order by clouds_uuid") == before


async def test_what_the_plan_says_is_what_is_sent(updater: Updater, cloud: Emulator) -> None:
    await mixed(updater, cloud)
    planned, sent = await plan(updater, all=True, force=True), requests(cloud)

    await updater.resync(a_resync(force=True))
    await updater.push_and_hear()

    assert requests(cloud) - sent == planned["requests"] == 2
    assert sorted(map(sorted, pushed(cloud)[-2:])) == [["P1", "P2"], ["S1", "X1"]]
    [row] = await updater.rows("select made_owed from sync_request")
    assert row["made_owed"] == planned["to_send"] + planned["blocked"] == 4
    assert counts(await plan(updater)) == (0, 0, 4, 1)


async def test_what_the_cloud_refuses_or_has_lost_is_told_of_a_resync(updater: Updater, cloud: Emulator) -> None:
    await mixed(updater, cloud)
    cloud.arm(status=422, route="update_ticket", filename="X1.wav")
    cloud.arm(status=400, route="update_ticket", filename="P1.wav", body={"message": "Recording not found"})

    await updater.resync(
        a_resync("Q1"), a_resync("Q2", folder_id="F2"), a_resync("Q3", recording_ids=["X1", "P1", "W1"])
    )
    await updater.push_and_hear()
    told = [await seen(updater, request_id) for request_id in ("Q1", "Q2", "Q3")]

    assert [(one["owed"], one["refused"]) for one in told] == [(0, 3), (0, 2), (0, 2)]


async def test_everything_is_blocked_while_the_lane_is_paused(updater: Updater, cloud: Emulator) -> None:
    await mixed(updater, cloud)
    async with an_api(updater) as api:
        await api.post("/lane/pause", json={"why": "maintenance"})
        planned = await plan(updater)
        await updater.resync(a_resync("Q1", force=True))
        sent = requests(cloud)
        await updater.pushing.step()
        blocked = (await api.get("/blocked")).json()["items"]
        await api.post("/lane/resume")
    assert counts(planned) == (0, 3, 1, 1)
    assert requests(cloud) == sent
    assert {one["message"].split(" ")[1] for one in blocked if one["reason"] == "retrying"} == {"ann"}
    await updater.push()
    assert requests(cloud) == sent + 2


async def test_a_plan_counts_a_request_per_500_files(updater: Updater) -> None:
    await updater.fold(*(a_transfer(f"R{n}", uuid="big") for n in range(501)))
    await updater.fold(*(a_link(f"R{n}") for n in range(501)))

    assert (await plan(updater))["requests"] == 2


async def test_a_limit_says_how_long_it_will_take(updater: Updater, cloud: Emulator) -> None:
    await mixed(updater, cloud)

    assert (await plan(updater, all=True, rate_per_minute=30))["expected_s"] == 4
    assert (await plan(updater, all=True, rate_per_minute=60_000))["expected_s"] == pytest.approx(0.002)
    measured = (await plan(updater))["expected_s"]
    assert measured is not None
    assert 0 < measured < 10


async def test_the_time_of_a_plan_counts_what_is_due_before_it(updater: Updater, cloud: Emulator) -> None:
    await several(updater, cloud, 4)
    await updater.fold(*(a_link(f"R{number}", 2) for number in range(4)))

    unlimited = await plan(updater, folder_id="F0", force=True)
    rated = await plan(updater, folder_id="F0", force=True, rate_per_minute=60)
    of_what_is_due = await plan(updater, all=True)
    async with an_api(updater) as api:
        await api.post("/lane/pause", json={"why": "maintenance"})
        shut = await plan(updater, folder_id="F0", force=True, rate_per_minute=60)

    assert (unlimited["folders_before"], rated["folders_before"], of_what_is_due["folders_before"]) == (3, 4, 0)
    assert rated["expected_s"] == pytest.approx(rated["wait_s"] + 1)
    assert rated["wait_s"] > 0
    assert (shut["expected_s"], shut["wait_s"], shut["not_known_as"]) == (None, None, "way_is_stopped")


async def test_a_limit_of_the_cloud_counts_for_what_is_due_before_a_plan(updater_url: str, cloud: Emulator) -> None:
    async with running_updater(updater_url, cloud, requests_per_minute=30) as updater:
        await updater.fold(*(a_transfer(f"R{n}", uuid=f"U{n}", folder_id=f"F{n}") for n in range(51)))
        await updater.fold(*(a_link(f"R{n}") for n in range(1, 51)))

        planned = await plan(updater, folder_id="F0", rate_per_minute=30)

    assert (planned["folders_before"], planned["wait_s"]) == (50, 100)


def test_a_step_takes_no_more_than_the_rate_lets_go_in_a_second_and_one_folder_at_least() -> None:
    shares = [Share(f"U{n}", 10, 0, 10, 0) for n in range(6)]
    large = [Share("U0", 15_000, 0, 15_000, 0), Share("U1", 15_000, 0, 0, 0)]

    assert len(decide_resync_lot(shares, rate_per_minute=None).shares) == 6
    assert decide_resync_lot(shares, rate_per_minute=120).wait_s == 1
    assert len(decide_resync_lot(shares, rate_per_minute=120).shares) == 2
    assert len(decide_resync_lot(shares, rate_per_minute=6).shares) == 1
    assert decide_resync_lot(shares, rate_per_minute=6).wait_s == 10
    assert len(decide_resync_lot(large, rate_per_minute=None).shares) == 1


def test_a_step_is_bounded_by_what_the_folders_hold() -> None:
    shares = [Share(f"U{n}", held, 0, held, 0) for n, held in enumerate((12_000, 30_000, 5_000, 9_000))]
    steps = []
    while shares:
        lot = decide_resync_lot(shares, rate_per_minute=None).shares
        steps.append([one.clouds_uuid for one in lot])
        shares = shares[len(lot) :]

    assert steps == [["U0"], ["U1"], ["U2", "U3"]]  # one, one that is too large, two that fit


async def several(updater: Updater, cloud: Emulator, folders: int) -> None:
    """Folders F0, F1, … with a recording each, in sync."""
    for number in range(folders):
        await transferred(updater, cloud, f"R{number}", folder_id=f"F{number}")
    await updater.fold(*(a_link(f"R{number}") for number in range(folders)))
    await updater.push_and_hear()


async def seen(updater: Updater, request_id: str = "Q1") -> dict[str, Any]:
    async with an_api(updater) as api:
        found: dict[str, Any] = (await api.get(f"/resyncs/{request_id}")).json()
    return found


async def expand(updater: Updater) -> None:
    while await updater.expanding.step() == 0:
        pass


async def test_a_resync_may_be_paused_and_goes_on_where_it_stood(updater: Updater, cloud: Emulator) -> None:
    await several(updater, cloud, 3)
    before = len(pushed(cloud))
    async with an_api(updater) as api:
        await updater.resync(a_resync("Q1", force=True, rate_per_minute=6))
        await updater.push_and_hear()
        running = await seen(updater)
        paused = (await api.post("/resyncs/Q1/pause")).json()
        await updater.change("update sync_request set next_at = now()")
        await expand(updater)
        still = await seen(updater)
        settled = await updater.owed()
        resumed = await api.post("/resyncs/Q1/resume")
        await expand(updater)
        await updater.push_and_hear()

    assert (running["state"], running["folders_done"], running["folders"], running["owed"]) == ("running", 1, 3, 0)
    assert (paused["state"], still["folders_done"], settled) == ("paused", 1, 0)
    assert (resumed.json()["state"], resumed.status_code) == ("running", 200)
    assert len(pushed(cloud)) - before == 2
    for _ in range(2):
        await updater.change("update sync_request set next_at = now()")
        await expand(updater)
    await updater.push_and_hear()
    assert sorted(pushed(cloud)[before:]) == [["R0"], ["R1"], ["R2"]]
    assert ((await seen(updater))["state"], (await seen(updater))["folders_done"]) == ("carried_out", 3)


async def test_a_cancelled_resync_ends_as_it_stands(updater: Updater, cloud: Emulator) -> None:
    await several(updater, cloud, 3)
    before = len(pushed(cloud))
    async with an_api(updater) as api:
        await updater.resync(a_resync("Q1", force=True, rate_per_minute=6))
        cancelled = (await api.post("/resyncs/Q1/cancel")).json()
        again = await api.post("/resyncs/Q1/cancel")
        late = await api.post("/resyncs/Q1/resume")
    records = await updater.rows("select who, what from audit where subject = 'Q1' order by id")
    await updater.change("update sync_request set next_at = now()")
    await expand(updater)
    await updater.push_and_hear()

    assert (cancelled["state"], again.status_code, late.status_code) == ("cancelled", 409, 409)
    assert again.json()["state"] == "cancelled"
    assert len(pushed(cloud)) - before == 1
    assert [(one["who"], one["what"]) for one in records] == [("ops", "resync_taken_up"), ("ann", "resync_cancelled")]


async def test_a_resync_that_waits_for_its_rate_or_is_paused_holds_no_other_up(
    updater: Updater, cloud: Emulator
) -> None:
    await several(updater, cloud, 3)
    before = len(pushed(cloud))
    await updater.resync(a_resync("slow", force=True, rate_per_minute=1))
    async with an_api(updater) as api:
        await updater.fold(a_resync("held", force=True))
        await api.post("/resyncs/held/pause")

    await updater.resync(a_resync("quick", force=True, recording_ids=["R2"]))
    await updater.push_and_hear()

    assert ["R2"] in pushed(cloud)[before:]
    assert (await seen(updater, "quick"))["state"] == "carried_out"


async def test_no_more_is_made_owed_than_is_pushed(
    updater: Updater, cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(expand_resyncs, "FOLDERS_AHEAD", 1)
    monkeypatch.setattr(expand_resyncs, "FOLDERS_AT_ONCE", 1)
    await several(updater, cloud, 3)

    await updater.resync(a_resync("Q1", force=True))
    owed = await updater.rows("select count(*) as folders from ledger where cursor < last_seq")
    for _ in range(3):
        await updater.push_and_hear()
        await updater.change("update sync_request set next_at = now() where done_at is null")
        await expand(updater)

    assert owed[0]["folders"] == 1
    assert (await seen(updater))["state"] == "carried_out"


async def test_a_resync_with_a_rate_owes_no_more_while_nothing_can_be_sent(updater: Updater, cloud: Emulator) -> None:
    await several(updater, cloud, 3)

    async def a_second_later() -> int:
        """How many folders are owed then."""
        await updater.change("update sync_request set next_at = now() where done_at is null")
        await expand(updater)
        owed = await updater.rows("select count(*) as folders from ledger where cursor < last_seq")
        return int(owed[0]["folders"])

    async with an_api(updater) as api:
        await api.post("/lane/pause", json={"why": "maintenance"})
        await updater.resync(a_resync("Q1", force=True, rate_per_minute=60))
        paused = [await a_second_later() for _ in range(3)]
        await api.post("/lane/resume")
    not_sent_yet = [await a_second_later() for _ in range(3)]
    before = len(pushed(cloud))
    for _ in range(3):
        await updater.push_and_hear()
        await a_second_later()

    assert (paused, not_sent_yet) == ([0, 0, 0], [1, 1, 1])
    assert len(pushed(cloud)) - before == 3
    assert (await seen(updater))["state"] == "carried_out"


async def test_a_resync_with_a_rate_gets_on_although_some_folder_is_always_due(
    updater: Updater, cloud: Emulator
) -> None:
    await several(updater, cloud, 3)
    await transferred(updater, cloud, "busy", folder_id="busy")
    before = len(pushed(cloud))

    await updater.fold(a_resync("Q1", force=True, rate_per_minute=60))
    for version in range(1, 6):
        await updater.fold(a_link("busy", version))
        await expand(updater)
        await updater.push_and_hear()
        await updater.change("update sync_request set next_at = now() where done_at is null")

    assert (await seen(updater))["state"] == "carried_out"
    assert [one for one in sorted(pushed(cloud)[before:]) if one != ["busy"]] == [["R0"], ["R1"], ["R2"]]


async def test_a_resync_with_a_rate_lets_go_first_what_was_due_when_it_was_asked_for(
    updater: Updater, cloud: Emulator
) -> None:
    await several(updater, cloud, 3)
    await updater.fold(a_link("R2", 2))

    await updater.resync(a_resync("Q1", force=True, rate_per_minute=60, recording_ids=["R0"]))
    gives_way = await seen(updater)
    await updater.push_and_hear()
    await updater.change("update sync_request set next_at = now()")
    await expand(updater)

    assert (gives_way["state"], gives_way["made_owed"], gives_way["folders_before"]) == ("waiting", 0, 1)
    assert (await seen(updater))["made_owed"] == 1


async def test_resyncs_are_listed_a_page_at_a_time(updater: Updater) -> None:
    for number in range(3):
        await updater.resync(a_resync(f"Q{number}"))
    pages: list[list[str]] = []
    async with an_api(updater) as api:
        cursor: str | None = ""
        while cursor is not None:
            page = (await api.get("/resyncs", params={"limit": 2, "cursor": cursor})).json()
            pages.append([one["request_id"] for one in page["items"]])
            cursor = page["next_cursor"]
        stranger = await api.get("/resyncs", params={"cursor": "W10"})

    assert pages == [["Q2", "Q1"], ["Q0"]]
    assert stranger.status_code == 422


async def test_a_resync_may_be_asked_for_by_the_api_and_acts_once(updater: Updater, cloud: Emulator) -> None:
    await several(updater, cloud, 1)
    before = len(pushed(cloud))
    async with an_api(updater) as api:
        body = {"all": True, "force": True, "request_id": "Q/1"}
        first, second = [(await api.post("/resyncs", json=body)).json() for _ in range(2)]
        await expand(updater)
        await updater.push_and_hear()
        listed = (await api.get("/resyncs")).json()["items"]
        unfinished = (await api.get("/resyncs?unfinished=true")).json()["items"]

    assert (first, second["new"]) == ({"request_id": "Q/1", "new": True}, False)
    assert len(pushed(cloud)) - before == 1
    assert [(one["request_id"], one["requested_by"], one["state"]) for one in listed] == [("Q/1", "ann", "carried_out")]
    assert unfinished == []
    assert (await seen(updater, "Q/1"))["folders_done"] == 1


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"all": True, "folder_id": "F1"},
        {"recording_ids": []},
        {"recording_ids": ["R"] * 10_001},
        {"all": True, "rate_per_minute": 0},
        {"all": True, "unknown": 1},
        {"folder_id": "a\x00b"},
    ],
)
async def test_a_wrong_selection_is_refused(updater: Updater, body: dict[str, object]) -> None:
    async with an_api(updater) as api:
        assert (await api.post("/resyncs/plan", json=body)).status_code == 422
        assert (await api.post("/resyncs", json=body)).status_code == 422
    assert await updater.rows("select * from sync_request") == []


async def test_an_unknown_resync_is_a_404(updater: Updater) -> None:
    async with an_api(updater) as api:
        answers = [await api.get("/resyncs/Q9")]
        answers += [await api.post(f"/resyncs/Q9/{what}") for what in ("pause", "resume", "cancel")]
    assert [one.status_code for one in answers] == [404] * 4
