"""The control routes: who may use them, and what they tell."""

import hashlib
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from local.emulator.app import build
from local.emulator.settings import Settings
from tests.emulator.running import TOKEN, Emulator, a_file, a_ticket, running_emulator


def test_an_effect_tells_everything_about_it(cloud: Emulator) -> None:
    uuid = cloud.create(
        a_file("a.wav", ticket_info=a_ticket("TKT-1"), link_version=4, transcribe="wörds"), a_file("b.wav"), key="k1"
    ).json()["data"]["uuid"]

    (effect,) = cloud.effects()

    assert effect.pop("time").endswith("Z")
    assert len(effect.pop("body_sha256")) == 64
    assert effect == {
        "seq": 1,
        "kind": "create",
        "uuid": uuid,
        "folder": "Monday",
        "idempotency_key": "k1",
        "status": 200,
        "replayed": False,
        "files": [
            {
                "filename": "a.wav",
                "size": "2.5 MB",
                "token": 1234,
                "transcribe_sha256": hashlib.sha256("wörds".encode()).hexdigest(),
                "has_ticket_info": True,
                "ticket_id": "TKT-1",
                "ticket_info": {"ticket_id": "TKT-1"},
                "link_version": 4,
                "ignored": False,
            },
            {
                "filename": "b.wav",
                "size": "2.5 MB",
                "token": 1234,
                "transcribe_sha256": hashlib.sha256(b"hello").hexdigest(),
                "has_ticket_info": False,
                "ticket_id": None,
                "ticket_info": None,
                "link_version": None,
                "ignored": False,
            },
        ],
    }


def test_the_log_is_read_page_by_page(cloud: Emulator) -> None:
    for _ in range(5):
        cloud.create(a_file())

    pages = [cloud.control("GET", f"effects?after={after}&limit=2") for after in (0, 2, 4, 5, 99)]

    assert [[effect["seq"] for effect in page["effects"]] for page in pages] == [[1, 2], [3, 4], [5], [], []]
    assert [page["next_after"] for page in pages] == [2, 4, None, None, None]


def test_requests_are_counted_by_route_and_answer(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file())
    cloud.update_ticket(uuid, a_file(ticket_info=None))
    cloud.update_ticket(uuid, a_file("b.wav", ticket_info=None))
    cloud.http.post("/api/external/v1/nothing")

    assert cloud.control("GET", "requests/count") == {
        "total": 4,
        "by_route": {"create": 1, "update_ticket": 2, "unknown": 1},
        "by_status": {"200": 2, "422": 1, "404": 1},
        "held": 0,
    }


def test_a_wiped_cloud_is_as_on_its_first_day(cloud: Emulator) -> None:
    uuid = cloud.create(a_file(), key="k1").json()["data"]["uuid"]
    cloud.arm(status=500, times=None)
    cloud.arm(kind="late_effect", status=504, delay_s=0.1)
    cloud.control("POST", "down")

    cloud.control("POST", "wipe")

    assert cloud.control("GET", "requests/count")["total"] == 0
    assert cloud.control("GET", "folders") == {"folders": []}
    assert cloud.inject(uuid, a_file()).status_code == 400
    assert cloud.create(a_file(), key="k1").json()["data"]["uuid"] != uuid
    assert [effect["seq"] for effect in cloud.effects()] == [1]


def test_what_was_held_when_the_cloud_was_wiped_never_happens(cloud: Emulator) -> None:
    cloud.control("POST", "hold", {"route": "create"})
    with ThreadPoolExecutor() as pool:
        held = pool.submit(cloud.create, a_file())
        cloud.wait_until_held()
        cloud.control("POST", "wipe")

        assert held.result().status_code == 503
    assert cloud.effects() == []


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "faults", {"kind": "explode"}),
        ("POST", "faults", {"kind": "answer", "surprise": 1}),
        ("POST", "hold", {}),
        ("PUT", "capabilities", {"capabilities": ["telepathy"]}),
        ("GET", "effects?after=x", None),
    ],
)
def test_what_is_not_understood_is_refused(cloud: Emulator, method: str, path: str, body: object) -> None:
    answer = cloud.http.request(method, f"/emulator/{path}", json=body)

    assert answer.status_code == 422
    assert answer.json()["errors"]


def test_without_the_token_there_are_no_control_routes(cloud: Emulator) -> None:
    answers = [
        httpx.get(f"{cloud.url}/emulator/effects", headers=headers, trust_env=False)
        for headers in ({}, {"authorization": "Bearer wrong"})
    ]

    assert [answer.status_code for answer in answers] == [404, 404]


async def test_from_another_machine_there_are_no_control_routes() -> None:
    app = build(Settings(token=TOKEN, effect_log=False))
    headers = {"authorization": f"Bearer {TOKEN}", "x-forwarded-for": "127.0.0.1"}
    statuses = []
    for client in ("127.0.0.1", "::1", "192.0.2.7"):
        transport = httpx.ASGITransport(app, client=(client, 50_000))
        async with httpx.AsyncClient(transport=transport, base_url="http://cloud", headers=headers) as http:
            statuses.append((await http.get("/emulator/folders")).status_code)

    assert statuses == [200, 200, 404]


def test_without_the_effect_log_everything_else_works() -> None:
    with running_emulator(effect_log=False) as cloud:
        uuid = cloud.create(a_file(), key="k1").json()["data"]["uuid"]
        again = cloud.create(a_file(), key="k1").json()["data"]["uuid"]

        assert uuid == again
        assert cloud.effects() == []
        assert len(cloud.files(uuid)) == 1


def test_a_body_beyond_the_limit_is_too_large() -> None:
    with running_emulator(body_limit_bytes=1_000) as cloud:
        answers = [cloud.create(a_file(transcribe="x" * length)) for length in (10, 2_000_000)]

        assert [answer.status_code for answer in answers] == [200, 413]
        assert cloud.kinds() == ["create"]
