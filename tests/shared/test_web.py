"""The HTTP side that all services share: the token, the limits, and errors as problem details."""

from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, Request
from pydantic import BaseModel, SecretStr
from sqlalchemy.exc import IntegrityError, OperationalError

from shared import log
from shared.gate import GateClosed
from shared.web import PROBLEMS, Problem, build

TOKEN = {"authorization": "Bearer secret-token"}


class Body(BaseModel):
    text: str


def _routes() -> APIRouter:
    router = APIRouter()
    errors: dict[str, Exception] = {
        "gate": GateClosed(),
        "refused": ConnectionRefusedError("postgres.internal"),
        "timeout": TimeoutError(),
        "gone": OperationalError("select", {}, ConnectionResetError(), connection_invalidated=True),
        "wrong": IntegrityError("insert", {}, ValueError("Failing row contains (Jane Doe)")),
        "defect": KeyError("Jane Doe"),
        "problem": Problem(409, "Ambiguous", "two fit", candidates=["R1", "R2"]),
    }

    @router.get("/raise/{name}")
    async def fail(name: str) -> None:
        raise errors[name]

    @router.post("/json")
    async def take_json(body: Body) -> int:
        return len(body.text)

    @router.get("/list")
    async def list_all(limit: int, state: str = "") -> int:
        return limit if state else 0

    @router.post("/raw")
    async def take_raw(request: Request) -> int:
        return len(await request.body())

    return router


class Ready:
    def __init__(self) -> None:
        self.state: Mapping[str, Any] = {"ready": True}

    async def __call__(self) -> Mapping[str, Any]:
        return self.state


async def _call(method: str, path: str, *, ready: Ready | None = None, **more: Any) -> httpx.Response:  # noqa: ANN401
    app = build(
        title="test",
        api_token="secret-token",
        previous_api_token=SecretStr("the one before"),
        router=_routes(),
        readiness=ready or Ready(),
        max_request_bytes=1_000,
    )
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", headers=TOKEN) as client:
        return await client.request(method, path, **more)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer wrong", "Basic secret-token", "Bearer secret-token2"])
async def test_the_api_wants_the_token(header: str) -> None:
    answer = await _call("GET", "/raise/problem", headers={"authorization": header})

    assert (answer.status_code, answer.json()["title"]) == (401, "Unauthorized")


@pytest.mark.parametrize("token", ["secret-token", "the one before"])
async def test_two_tokens_are_good_while_one_takes_the_others_place(token: str) -> None:
    answer = await _call("GET", "/raise/problem", headers={"authorization": f"Bearer {token}"})

    assert answer.status_code == 409


async def test_a_caller_over_its_limit_is_told_when_to_come_again_and_others_are_not() -> None:
    app = build(
        title="test",
        api_token="secret-token",
        previous_api_token=SecretStr("the one before"),
        requests_per_minute=2,
        router=_routes(),
        readiness=Ready(),
        max_request_bytes=1_000,
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test", headers=TOKEN) as client:
        mine = [await client.get("/raise/problem") for _ in range(3)]
        another = await client.get("/raise/problem", headers={"authorization": "Bearer the one before"})
        guesses = [await client.get("/raise/problem", headers={"authorization": f"Bearer {n}"}) for n in range(3)]
        health = [await client.get("/livez") for _ in range(4)]

    assert [one.status_code for one in mine] == [409, 409, 429]
    assert mine[2].headers["content-type"] == "application/problem+json"
    assert 29 <= int(mine[2].headers["retry-after"]) <= 30
    assert mine[2].json()["detail"] == "At most 2 requests a minute (API_REQUESTS_PER_MINUTE)"
    assert another.status_code == 409
    assert [one.status_code for one in guesses] == [401, 401, 429]
    assert {one.status_code for one in health} == {200}


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
async def test_health_and_metrics_do_not(path: str) -> None:
    assert (await _call("GET", path, headers={"authorization": ""})).status_code == 200


async def test_a_nul_in_the_path_names_nothing() -> None:
    answer = await _call("GET", "/raise/a%00b")

    assert (answer.status_code, answer.json()["title"]) == (404, "Not found")


@pytest.mark.parametrize("query", ["folder=%00", "unheard-of=a%00b", "folder=a&folder=b%00"])
async def test_a_nul_in_the_query_is_not_valid_whatever_the_route_makes_of_it(query: str) -> None:
    answer = await _call("GET", f"/raise/problem?{query}")

    [error] = answer.json()["errors"]
    name = query.split("=", maxsplit=1)[0]
    assert answer.status_code == 422
    assert error == {"field": f"query.{name}", "message": "Text should not hold a NUL character"}


async def test_a_query_parameter_that_the_route_does_not_have_is_named_with_those_it_has() -> None:
    answer = await _call("GET", "/list?statte=x&limit=3", headers=TOKEN)
    assert (answer.status_code, [one["field"] for one in answer.json()["errors"]]) == (422, ["query.statte"])
    assert answer.json()["detail"] == "query.statte: is no parameter of this route; it has limit, state"

    assert (await _call("GET", "/list?state=x&limit=3", headers=TOKEN)).json() == 3
    assert (await _call("POST", "/raw?x=1", headers=TOKEN)).status_code == 422


async def test_readiness_says_why() -> None:
    ready = Ready()
    ready.state = {"ready": False, "gate": "closed"}

    answer = await _call("GET", "/readyz", ready=ready)

    assert (answer.status_code, answer.json()) == (503, {"ready": False, "gate": "closed"})


async def test_while_the_gate_is_closed_callers_are_asked_to_come_back() -> None:
    answer = await _call("GET", "/raise/gate")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["refused", "timeout", "gone"])
async def test_a_database_that_cannot_be_reached_is_not_now(name: str) -> None:
    answer = await _call("GET", f"/raise/{name}")

    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert "postgres.internal" not in answer.text


@pytest.mark.usefixtures("logging_as_before")
@pytest.mark.parametrize("name", ["wrong", "defect"])
async def test_a_defect_tells_nothing_of_what_it_was_about(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("test", "INFO")
    answer = await _call("GET", f"/raise/{name}")

    logged = capsys.readouterr()
    assert answer.status_code == 500
    assert answer.json()["title"] == "Internal error"
    assert "Jane" not in answer.text + logged.out + logged.err
    assert "Error" in logged.out


async def test_a_problem_carries_its_members() -> None:
    answer = await _call("GET", "/raise/problem")

    assert answer.json() == {
        "type": "about:blank",
        "title": "Ambiguous",
        "status": 409,
        "detail": "two fit",
        "candidates": ["R1", "R2"],
    }


@pytest.mark.parametrize("path", ["/json", "/raw"])
async def test_a_body_over_the_limit_is_refused_while_it_arrives(path: str) -> None:
    answer = await _call("POST", path, content=b'{"text": "' + b"x" * 2_000 + b'"}')

    assert answer.status_code == 413
    assert answer.json()["detail"] == "At most 1000 bytes (API_MAX_REQUEST_BYTES)"


@pytest.mark.parametrize("body", [b"\x80\x81", b"[" * 900, b"{"])
async def test_a_body_that_nobody_can_read_is_not_valid(body: bytes) -> None:
    answer = await _call("POST", "/json", content=body, headers={**TOKEN, "content-type": "application/json"})

    assert (answer.status_code, answer.json()["title"]) == (422, "Invalid request")
    assert [one["field"] for one in answer.json()["errors"]] == ["body"]


async def test_errors_are_described_as_they_are_sent() -> None:
    router = APIRouter()
    router.get("/thing", responses=PROBLEMS)(read_thing)
    app = build(title="test", api_token="t", router=router, readiness=Ready(), max_request_bytes=1_000)

    answers = app.openapi()["paths"]["/thing"]["get"]["responses"]

    assert {status: list(answer["content"]) for status, answer in answers.items()} == {
        "200": ["application/json"],
        "401": ["application/problem+json"],
        "413": ["application/problem+json"],
        "422": ["application/problem+json"],
        "429": ["application/problem+json"],
        "503": ["application/problem+json"],
    }
    assert "Retry-After" in answers["429"]["headers"]


async def read_thing() -> int:
    return 1


async def test_an_invalid_body_names_the_field() -> None:
    answer = await _call("POST", "/json", json={"text": 7})

    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == ["text"]


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nowhere", 404), ("GET", "/json", 405)])
async def test_what_is_not_there_is_a_problem_too(method: str, path: str, status: int) -> None:
    answer = await _call(method, path)

    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
