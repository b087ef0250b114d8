"""Every route of every service wants the token, before it looks at anything else, and reads no more than the limit."""

import asyncio
import re
from collections.abc import Iterator, Sequence

import httpx
import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

from tests.security.apis import TOKEN, apis, listening

OPEN = {"/livez", "/readyz", "/metrics"}
BEARER = f"Authorization: Bearer {TOKEN}\r\n"
ANSWER_WITHIN_S = 10


def routes_of(app: FastAPI) -> set[tuple[str, str]]:
    """(method, path) of everything that the application answers, whether its OpenAPI document shows it or not."""
    shown = {(method.upper(), path) for path, methods in app.openapi()["paths"].items() for method in methods}
    return shown | set(_walk(app.routes))


def _walk(routes: Sequence[BaseRoute]) -> Iterator[tuple[str, str]]:
    for route in routes:
        if included := getattr(route, "original_router", None):  # FastAPI's own kind for `include_router`
            yield from _walk(included.routes)
            continue
        assert isinstance(route, Route), route  # another kind, such as a mounted application, needs a look at it
        for method in route.methods or ():
            yield method, route.path


@pytest.mark.parametrize("service", ["linker", "transfer", "cloud_updater"])
async def test_every_route_but_health_and_metrics_refuses_whoever_shows_no_token(service: str) -> None:
    app = apis()[service]
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    refused: set[str] = set()
    answered: set[str] = set()
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        for method, path in routes_of(app):
            answer = await client.request(method, re.sub(r"\{\w+\}", "x", path), content=b"{")
            (refused if answer.status_code == 401 else answered).add(path)
        nowhere = await client.get("/nowhere")

    assert answered == OPEN
    assert {"/positions", "/status", "/openapi.json"} <= refused
    assert nowhere.status_code == 401


async def test_no_route_is_only_nearly_the_open_one() -> None:
    app = apis()["linker"]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client:
        near = ["/livez/", "/livez/../status", "/LIVEZ", "//livez", "/livez%2f..%2fstatus", "/metrics;/status"]
        answers = [(await client.get(path)).status_code for path in near]

    assert answers == [401] * len(near)


@pytest.mark.parametrize("path", ["/links", "/imports?filename=a.csv"])
async def test_the_token_is_looked_at_before_the_body_is_read(path: str) -> None:
    """The body is announced and never sent: whoever waited for it would not answer."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 900\r\n"

    assert (await _raw(head, b"")).startswith("HTTP/1.1 401 ")


@pytest.mark.parametrize("path", ["/links", "/imports?filename=a.csv", "/uploads?filename=a.csv"])
async def test_a_body_of_unknown_length_is_cut_off_at_the_limit(path: str) -> None:
    """It has no Content-Length and no end: whoever read on would not answer."""
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n"

    answer = await _raw(head + BEARER, b"3e8\r\n" + b"x" * 1000 + b"\r\n" + b"1\r\nx\r\n")

    assert answer.startswith("HTTP/1.1 413 ")


async def test_a_head_without_end_is_cut_off() -> None:
    answer = await _raw("GET /status HTTP/1.1\r\nHost: x\r\nX-Long: " + "x" * 500_000, b"")

    assert answer.startswith("HTTP/1.1 400 ")


async def _raw(head: str, body: bytes) -> str:
    """The first line of what linker answers to these bytes, while the connection stays open."""
    async with listening(apis()["linker"]) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + b"\r\n" + body)
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                return (await reader.readline()).decode()
        finally:
            writer.close()
