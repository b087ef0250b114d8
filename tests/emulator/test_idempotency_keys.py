"""The Idempotency-Key: the first answer again, no second effect, and never two requests at work under one key."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from local.emulator.calls import PREFIX
from tests.emulator.running import Emulator, a_file, running_emulator


def test_a_repeated_create_gets_the_first_answer_and_has_no_second_effect(cloud: Emulator) -> None:
    first = cloud.create(a_file(), key="k1")
    again = cloud.create(a_file(), key="k1")

    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert [(it["kind"], it["replayed"], len(it["files"])) for it in cloud.effects()] == [
        ("create", False, 1),
        ("create", True, 0),
    ]


def test_a_repeated_inject_inserts_once(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav"))

    answers = [cloud.inject(uuid, a_file("b.wav"), key="k1") for _ in range(3)]

    assert [(it.status_code, it.json()) for it in answers] == [(200, {"status": 200, "message": "Successfuly!"})] * 3
    assert [file["filename"] for file in cloud.files(uuid)] == ["a.wav", "b.wav"]


def test_the_key_with_another_body_is_refused(cloud: Emulator) -> None:
    uuid = cloud.create(a_file("a.wav"), key="k1").json()["data"]["uuid"]

    answers = [cloud.create(a_file("b.wav"), key="k1"), cloud.inject(uuid, a_file("a.wav"), key="k1")]

    refusal = (422, {"message": "Idempotency-Key reused"})
    assert [(answer.status_code, answer.json()) for answer in answers] == [refusal, refusal]
    assert cloud.kinds() == ["create"]


def test_the_same_content_in_other_bytes_is_another_body(cloud: Emulator) -> None:
    body = b'{"folder":"F","files":[{"filename":"a","token":1,"size":"1 B","transcribe":"t"}]}'
    path, headers = f"{PREFIX}/recording", {"idempotency-key": "k1"}

    answers = [cloud.http.post(path, content=content, headers=headers) for content in (body, body + b" ")]

    assert [answer.status_code for answer in answers] == [200, 422]


def test_while_the_first_is_being_worked_on_the_second_is_a_conflict(cloud: Emulator) -> None:
    cloud.control("POST", "hold", {"route": "create"})
    with ThreadPoolExecutor() as pool:
        held = pool.submit(cloud.create, a_file(), key="k1")
        cloud.wait_until_held()

        conflict, other_body = cloud.create(a_file(), key="k1"), cloud.create(a_file("b.wav"), key="k1")
        cloud.control("POST", "release")
        first = held.result()

    assert (conflict.status_code, other_body.status_code, first.status_code) == (409, 422, 200)
    assert cloud.create(a_file(), key="k1").json() == first.json()
    assert cloud.kinds() == ["create"]


def test_a_refused_request_leaves_its_key_free(cloud: Emulator) -> None:
    cloud.create(a_file(token="many"), key="k1")
    cloud.inject("nobody", a_file(), key="k1")

    assert cloud.create(a_file(), key="k1").status_code == 200


@pytest.mark.parametrize("kind", ["close_after_effect", "answer_after_effect"])
def test_a_repeat_after_a_lost_answer_has_no_second_effect(cloud: Emulator, kind: str) -> None:
    cloud.arm(kind=kind, route="create", status=500)

    try:
        assert cloud.create(a_file(), key="k1").status_code == 500
    except httpx.RemoteProtocolError:
        assert kind == "close_after_effect"

    uuid = cloud.create(a_file(), key="k1").json()["data"]["uuid"]
    assert [effect["uuid"] for effect in cloud.effects()] == [uuid, uuid]
    assert len(cloud.files(uuid)) == 1


def test_update_ticket_repeats_its_effect_whatever_key_is_sent(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file())
    path, headers = f"{PREFIX}/recording/update-ticket/{uuid}", {"idempotency-key": "k1"}

    for ticket in ({"ticket_id": "A"}, None, {"ticket_id": "A"}):
        cloud.http.post(path, json={"files": [a_file(ticket_info=ticket)]}, headers=headers).raise_for_status()

    assert cloud.kinds() == ["create", "update_ticket", "update_ticket", "update_ticket"]


def test_without_the_capability_a_repeat_is_a_second_folder(deployed: Emulator) -> None:
    first, second = deployed.create(a_file(), key="k1"), deployed.create(a_file(), key="k1")

    assert first.json()["data"] != second.json()["data"]
    assert [effect["idempotency_key"] for effect in deployed.effects()] == ["k1", "k1"]


def test_a_key_whose_life_is_over_is_a_new_one() -> None:
    with running_emulator(key_life_s=0.3) as cloud:
        first = cloud.create(a_file(), key="k1").json()["data"]["uuid"]
        time.sleep(0.4)

        assert cloud.create(a_file(), key="k1").json()["data"]["uuid"] != first
