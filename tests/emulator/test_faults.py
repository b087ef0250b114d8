"""What the emulator is told to do wrong: what the client sees, and what really happened."""

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.emulator.running import Emulator, a_file, a_ticket


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (401, {"status": "unathorized"}),
        (404, {"message": "The route api/external/v1/recording could not be found."}),
        (409, {"message": "Idempotency-Key in use"}),
        (413, {"message": "The POST data is too large."}),
        (429, {"message": "Too Many Attempts."}),
        (500, {"message": "Server Error"}),
        (502, {"message": "HTTP 502"}),
        (503, {"message": "Service Unavailable"}),
        (422, {
            "message": "The files.0.filename field is invalid.",
            "errors": {"files.0.filename": ["The files.0.filename field is invalid."]},
        }),
    ],
)  # fmt: skip
def test_a_status_is_answered_as_the_contract_says_and_nothing_happens(
    cloud: Emulator, status: int, body: dict[str, Any]
) -> None:
    cloud.arm(route="create", status=status)

    answer = cloud.create(a_file())

    assert (answer.status_code, answer.json()) == (status, body)
    assert cloud.effects() == []
    assert cloud.create(a_file()).status_code == 200


@pytest.mark.parametrize("status", [302, 200])
def test_pages_instead_of_json(cloud: Emulator, status: int) -> None:
    cloud.arm(status=status)

    answer = cloud.create(a_file())

    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/html; charset=UTF-8")
    assert answer.headers.get("location") == ("/" if status == 302 else None)


@pytest.mark.parametrize("value", ["7", "Wed, 29 Jan 2025 10:30:00 GMT", "soon", "-1", "99999999999"])
def test_retry_after_in_every_form(cloud: Emulator, value: str) -> None:
    cloud.arm(status=429, headers={"Retry-After": value})

    assert cloud.create(a_file()).headers["retry-after"] == value


def test_retry_after_in_the_body_only(cloud: Emulator) -> None:
    cloud.arm(status=429, body={"retry_after": 7})

    answer = cloud.create(a_file())

    assert "retry-after" not in answer.headers
    assert answer.json() == {"retry_after": 7}


def test_a_success_without_a_body(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file())
    cloud.arm(kind="answer_after_effect", route="update_ticket", status=204)

    answer = cloud.update_ticket(uuid, a_file(ticket_info=a_ticket()))

    assert (answer.status_code, answer.content) == (204, b"")
    assert cloud.kinds() == ["create", "update_ticket"]


def test_a_fault_for_one_filename_names_its_place(cloud: Emulator) -> None:
    cloud.arm(status=422, filename="b.wav", times=None)

    good, bad = cloud.create(a_file("a.wav")), cloud.create(a_file("a.wav"), a_file("b.wav"))

    assert good.status_code == 200
    assert list(bad.json()["errors"]) == ["files.1.filename"]


def test_a_fault_for_large_requests_lets_small_ones_pass(cloud: Emulator) -> None:
    cloud.arm(status=413, files_at_least=2, times=None)

    statuses = [cloud.create(*(a_file(f"{n}.wav") for n in range(count))).status_code for count in (1, 2, 3, 1)]

    assert statuses == [200, 413, 413, 200]


def test_faults_are_taken_in_order_as_often_as_armed(cloud: Emulator) -> None:
    cloud.arm(status=500, times=2)
    cloud.arm(status=503, route="create")
    cloud.arm(status=429, route="inject")

    statuses = [cloud.create(a_file()).status_code for _ in range(4)]

    assert statuses == [500, 500, 503, 200]
    assert [fault["taken"] for fault in cloud.control("GET", "faults")["faults"]] == [2, 1, 0]


def test_cleared_faults_are_gone(cloud: Emulator) -> None:
    cloud.arm(status=500, times=None)

    cloud.control("DELETE", "faults")

    assert cloud.create(a_file()).status_code == 200


@pytest.mark.parametrize(
    ("kind", "happened"), [("close_before_effect", []), ("close_after_effect", ["create"]), ("late_effect", [])]
)
def test_a_closed_connection_says_nothing_about_the_effect(cloud: Emulator, kind: str, happened: list[str]) -> None:
    cloud.arm(kind=kind, delay_s=60 if kind == "late_effect" else 0)

    with pytest.raises(httpx.RemoteProtocolError):
        cloud.create(a_file())

    assert cloud.kinds() == happened
    assert cloud.control("GET", "requests/count")["by_status"] == {"closed": 1}


def test_a_late_effect_comes_after_its_answer(cloud: Emulator) -> None:
    cloud.control("POST", "hold", {"route": "create"})
    cloud.arm(kind="late_effect", status=504)

    answer = cloud.create(a_file(), key="k1")
    at_once, conflict = cloud.kinds(), cloud.create(a_file(), key="k1").status_code
    cloud.control("POST", "release")
    cloud.wait_until_happened(["create"])

    assert (answer.status_code, at_once, conflict) == (504, [], 409)
    assert cloud.create(a_file(), key="k1").status_code == 200
    assert cloud.kinds() == ["create"]


def test_a_late_update_overtaken_by_a_newer_one_loses_only_where_versions_count(cloud: Emulator) -> None:
    seen = []
    for capabilities in (["ticket-info"], ["ticket-info", "link-version"]):
        cloud.control("PUT", "capabilities", {"capabilities": capabilities})
        uuid = cloud.folder(a_file())
        cloud.arm(kind="late_effect", route="update_ticket", status=504, delay_s=1)
        cloud.update_ticket(uuid, a_file(ticket_info=a_ticket("OLD"), link_version=1))
        cloud.update_ticket(uuid, a_file(ticket_info=a_ticket("NEW"), link_version=2))
        cloud.wait_until_happened(["create", "update_ticket", "update_ticket"], uuid)
        seen.append(cloud.files(uuid)[0]["ticket_info"]["ticket_id"])

    assert seen == ["OLD", "NEW"]


@pytest.mark.parametrize("kind", ["slow_effect", "answer_after_effect"])
def test_a_client_that_gives_up_does_not_undo_the_effect(cloud: Emulator, kind: str) -> None:
    cloud.arm(kind=kind, delay_s=1)

    with pytest.raises(httpx.ReadTimeout):
        cloud.http.post("/api/external/v1/recording", json={"folder": "F", "files": [a_file()]}, timeout=0.2)
    at_once = cloud.kinds()

    assert at_once == ([] if kind == "slow_effect" else ["create"])
    cloud.wait_until_happened(["create"])


def test_an_answer_that_drips_never_times_out_a_single_read(cloud: Emulator) -> None:
    cloud.arm(kind="slow_drip", delay_s=1.2)
    started_at = time.monotonic()

    answer = cloud.http.post("/api/external/v1/ping", timeout=0.8)

    assert answer.json()["message"] == "success"
    assert time.monotonic() - started_at > 1.1


def test_requests_held_after_their_effect_have_had_it(cloud: Emulator) -> None:
    cloud.control("POST", "hold", {"route": "create", "moment": "after_effect"})
    with ThreadPoolExecutor() as pool:
        held = pool.submit(cloud.create, a_file())
        cloud.wait_until_held()

        assert cloud.kinds() == ["create"]
        assert not held.done()
        cloud.control("POST", "release", {"route": "create"})
        assert held.result().status_code == 200


def test_a_held_route_does_not_hold_the_others(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file())
    cloud.control("POST", "hold", {"route": "create"})
    with ThreadPoolExecutor() as pool:
        held = [pool.submit(cloud.create, a_file()) for _ in range(2)]
        cloud.wait_until_held(2)

        assert cloud.update_ticket(uuid, a_file(ticket_info=None)).status_code == 200
        cloud.control("POST", "release")
        assert [it.result().status_code for it in held] == [200, 200]
    assert cloud.kinds() == ["create", "update_ticket", "create", "create"]


def test_down_is_503_on_everything_and_does_nothing(cloud: Emulator) -> None:
    cloud.control("POST", "down")
    answers = [cloud.ping(), cloud.create(a_file()), cloud.delete("x"), cloud.http.post("/api/external/v1/nothing")]
    cloud.control("POST", "up")

    assert [answer.status_code for answer in answers] == [503, 503, 503, 503]
    assert cloud.ping().status_code == 200
    assert cloud.effects() == []


def test_the_limit_of_requests_is_answered_with_the_time_to_wait(cloud: Emulator) -> None:
    cloud.control("PUT", "limit", {"requests_per_minute": 2})

    answers = [cloud.ping() for _ in range(3)]

    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["retry-after"]) <= 60
