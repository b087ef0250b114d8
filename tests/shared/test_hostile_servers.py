"""Servers that break off, speak unasked or never end cost a request its limit at most, and nothing after it."""

import asyncio
import gc
import socket
import ssl
import zlib
from contextlib import suppress
from pathlib import Path
from time import monotonic

import httpx
import pytest

from shared.cloud import Cloud, CloudSettings
from shared.connections import Connections
from shared.outcome import Done, NothingDone, Unknown
from tests.shared.serving import ANSWER, Server, on_both_loops, own_certificate, running, to

REFUSED = b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\n\r\n{}"


class Hostile(Server):
    """Says the same again and again, for ever."""

    def __init__(self, first: bytes, again: bytes) -> None:
        super().__init__(first)
        self.again = again

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections.append(writer)
        await self._head(reader)
        writer.write(self.answers[0])
        with suppress(ConnectionError):
            while True:
                writer.write(self.again)
                await writer.drain()


@on_both_loops
async def test_nothing_was_sent_over_a_connection_that_is_closed_as_soon_as_it_is_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://localhost:{listening.getsockname()[1]}"
        loop = asyncio.get_running_loop()
        accepting = loop.run_in_executor(None, _close_each, listening, 30)
        outcomes = set()
        async with to(url) as post:
            for _ in range(30):
                with pytest.raises(httpx.HTTPError) as broke:
                    await post(b" " * 100_000)
                outcomes.add(type(broke.value))
        await accepting
        # Rarely the connection ends only after the request has begun.
        assert httpx.ConnectError in outcomes
        assert outcomes <= {httpx.ConnectError, httpx.ReadError, httpx.RemoteProtocolError}


def _close_each(listening: socket.socket, times: int) -> None:
    for _ in range(times):
        listening.accept()[0].close()


@on_both_loops
async def test_whoever_gives_up_at_any_moment_leaves_no_connection_open() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=500) as listening:
        url = f"http://localhost:{listening.getsockname()[1]}"
        before = _sockets()
        connections = Connections(url, most=1, idle_s=60)
        for number in range(400):
            limits = {"timeout": {"pool": 1.0, "connect": 5e-6 * number}}
            request = httpx.Request("POST", url, content=b"{}", extensions=limits)
            with suppress(httpx.ConnectTimeout, TimeoutError):
                async with asyncio.timeout(5e-6 * number + 0.001):
                    await connections.handle_async_request(request)
        async with asyncio.timeout(5):
            while _sockets() > before:  # noqa: ASYNC110  # what was aborted is closed by the loop's next turns
                await asyncio.sleep(0.01)


def _sockets() -> int:
    gc.collect()
    found = 0
    for one in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found += str(one.readlink()).startswith("socket:")
    return found


@on_both_loops
async def test_a_connection_on_which_the_server_speaks_unasked_is_closed() -> None:
    async with running(Server(ANSWER)) as server, to(server.url) as post:
        await post()
        server.connections[0].write(ANSWER)
        async with asyncio.timeout(5):
            while not server.connections[0].is_closing():
                server.connections[0].write(b" ")
                await asyncio.sleep(0.001)


@on_both_loops
async def test_what_is_under_way_when_all_is_closed_is_closed_where_it_ends() -> None:
    async with running(Server(ANSWER)) as server:
        connections = Connections(server.url, most=1, idle_s=60)
        limits = {"timeout": {"pool": 5.0, "connect": 5.0}}
        request = httpx.Request("POST", server.url, content=b"{}", extensions=limits)
        response = await connections.handle_async_request(request)

        await connections.aclose()
        assert await response.aread() == b"{}"
        async with asyncio.timeout(5):
            assert await server.ended.get() == 0


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return own_certificate(tmp_path_factory.mktemp("tls"))


@on_both_loops
async def test_an_early_answer_under_tls_leaves_no_half_sent_body_to_the_next_request(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate)
    monkeypatch.setattr("certifi.where", lambda: str(certificate[0]))
    server = Server(REFUSED, ANSWER, reads_the_body=False)
    async with running(server, tls=context) as server, to(server.url) as post:
        assert await post(b" " * 30_000_000) == b"413 {}"

        assert await post() == b"200 {}"
        assert len(server.connections) == 2


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n" * 20_000),
        (HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\n \r\n" * 100_000),
    ],
)
@on_both_loops
async def test_an_answer_in_endless_small_parts_ends_with_the_limit(first: bytes, again: bytes) -> None:
    async with running(Hostile(first, again)) as server:
        cloud = _cloud(server.url, cloud_timeout_s=0.5, cloud_max_answer_bytes=1_000_000_000)
        began = monotonic()
        outcome = await cloud.post("test", "/x", b"{}", repeatable=False)

        assert outcome == Unknown("no answer within 0.5 s")
        assert monotonic() - began < 3
        await cloud.close()


@pytest.mark.parametrize("times", [1, 2])
@on_both_loops
async def test_an_answer_that_unpacks_to_a_thousand_times_its_size_is_too_large(times: int) -> None:
    packed = b"\0" * 50_000_000
    for _ in range(times):
        packed = _gzip(packed)
    head = HEAD + b"connection: close\r\ncontent-encoding: " + b", ".join([b"gzip"] * times) + b"\r\n\r\n"
    async with running(Server(head + packed)) as server:
        cloud = _cloud(server.url)
        outcome = await cloud.post("test", "/x", b"{}", repeatable=False)
        await cloud.close()

    said = "the answer is larger than 1000000 bytes" if times == 1 else "the connection broke (DecodingError)"
    assert outcome == Unknown(said)


def _gzip(content: bytes) -> bytes:
    packing = zlib.compressobj(9, zlib.DEFLATED, 31)
    return packing.compress(content) + packing.flush()


@on_both_loops
async def test_a_name_that_no_server_can_have_is_not_reached() -> None:
    cloud = _cloud(f"https://{'x' * 64}.example.com")

    assert await cloud.post("test", "/x", b"{}", repeatable=False) == NothingDone(
        "the cloud cannot be reached (ConnectError)"
    )


def _cloud(url: str, **limits: float) -> Cloud:
    settings = CloudSettings.model_validate({"clouds_url": url, "clouds_token": "secret-token", **limits})
    return Cloud(settings, token=lambda: "secret-token")


@on_both_loops
async def test_an_address_of_ipv6_is_reached() -> None:
    server = Server(ANSWER)
    try:
        listening = await asyncio.start_server(server.serve, "::1", 0)
    except OSError:
        pytest.skip("this machine has no IPv6")
    cloud = _cloud(f"http://[::1]:{listening.sockets[0].getsockname()[1]}")

    assert await cloud.post("test", "/x", b"{}", repeatable=False) == Done({})
    await cloud.close()
    listening.close()
