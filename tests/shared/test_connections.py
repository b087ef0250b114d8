"""Connections over which the cloud is asked: kept, left alone and given up where they must be."""

import asyncio
import socket
import ssl
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.shared.serving import ANSWER, Server, on_both_loops, own_certificate, running, to


@on_both_loops
async def test_one_request_after_another_goes_over_one_connection() -> None:
    async with running(Server(ANSWER)) as server, to(server.url, most=3) as post:
        for _ in range(3):
            assert await post() == b"200 {}"
        assert len(server.connections) == 1

        assert await asyncio.gather(*(post() for _ in range(5))) == [b"200 {}"] * 5
        assert len(server.connections) == 3


@on_both_loops
async def test_an_idle_connection_is_closed() -> None:
    async with running(Server(ANSWER)) as server, to(server.url, idle_s=0.01) as post:
        await post()
        async with asyncio.timeout(5):
            await server.ended.get()

        assert await post() == b"200 {}"
        assert len(server.connections) == 2


@pytest.mark.parametrize(
    "first",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\n{}",
        ANSWER + b"and more",
    ],
)
@on_both_loops
async def test_a_connection_that_cannot_be_used_again_is_not(first: bytes) -> None:
    async with running(Server(first, ANSWER)) as server, to(server.url) as post:
        assert await post() == b"200 {}"
        assert await post() == b"200 {}"
        assert len(server.connections) == 2


@on_both_loops
async def test_a_connection_that_was_closed_just_now_is_not_used_again() -> None:
    async with running(Server(ANSWER)) as server, to(server.url) as post:
        await post()
        server.hang_up()

        assert await post() == b"200 {}"
        assert len(server.connections) == 2


@on_both_loops
async def test_an_answer_that_comes_before_the_body_is_taken_counts() -> None:
    refused = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}"
    server = Server(refused, ANSWER, reads_the_body=False)
    async with running(server), to(server.url) as post:
        assert await post(b" " * 30_000_000) == b"413 {}"

        assert await post() == b"200 {}"
        assert len(server.connections) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 20\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n",
        b"connection: close\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nconnection: close\r\nx: " + b"y" * 200_000,
    ],
)
@on_both_loops
async def test_half_an_answer_is_none_and_keeps_nobody_from_the_next(answer: bytes) -> None:
    async with running(Server(answer, ANSWER)) as server, to(server.url) as post:
        with pytest.raises(httpx.RemoteProtocolError):
            await post()

        assert await post() == b"200 {}"


@on_both_loops
async def test_what_was_known_before_a_connection_broke_is_read() -> None:
    until_it_ends = b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nall of it"
    in_between = b"HTTP/1.1 103 Early Hints\r\n\r\n" + ANSWER
    async with running(Server(until_it_ends, in_between)) as server, to(server.url) as post:
        assert await post() == b"200 all of it"
        assert await post() == b"200 {}"


@on_both_loops
async def test_who_gives_up_closes_the_connection_and_keeps_nobody_from_the_next() -> None:
    async with running(Server(b"HTTP/1.1 200", ANSWER)) as server, to(server.url) as post:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await post()
        async with asyncio.timeout(5):
            assert await server.ended.get() == 0

        assert await post() == b"200 {}"


@on_both_loops
async def test_an_address_that_keeps_silent_does_not_hold_up_another(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(Server(ANSWER)) as server, to(server.url) as post:
        with socket.create_server(("127.0.0.1", 0), backlog=0) as silent, ExitStack() as waiting:
            for _ in range(3):  # what the server never takes off its queue
                one = waiting.enter_context(socket.socket())
                one.settimeout(0)
                one.connect_ex(silent.getsockname())
            good = ("127.0.0.1", httpx.URL(server.url).port)

            async def addresses(*_: object, **__: object) -> list[tuple[Any, ...]]:
                return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", one) for one in (silent.getsockname(), good)]

            monkeypatch.setattr(type(asyncio.get_running_loop()), "getaddrinfo", addresses)
            async with asyncio.timeout(4):
                assert await post() == b"200 {}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return own_certificate(tmp_path_factory.mktemp("tls"))


@on_both_loops
async def test_only_whose_certificate_is_good_is_sent_anything(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    async with running(Server(ANSWER), tls=context) as server:
        async with to(server.url) as post:
            with pytest.raises(httpx.ConnectError):
                await post()

        with monkeypatch.context() as trusting:
            trusting.setattr("certifi.where", lambda: str(certificate[0]))
            async with to(server.url.replace("localhost", "127.0.0.1")) as post:
                with pytest.raises(httpx.ConnectError):
                    await post()
            assert not server.connections

            async with to(server.url) as post:
                assert [await post(), await post(b" " * 1_000_000)] == [b"200 {}"] * 2
                assert len(server.connections) == 1
