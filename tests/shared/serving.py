"""A server that answers as it is told, and requests to it over connections of our own."""

import asyncio
import functools
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, closing
from pathlib import Path

import httpx
import pytest
import uvloop

from shared.connections import Connections

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
LIMITS = {"timeout": {"pool": 5.0, "connect": 5.0}}


def on_both_loops(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """The one that services run on, and asyncio's own."""

    @functools.wraps(test)
    def run(**given: object) -> None:
        uvloop.run(test(**given))
        asyncio.run(test(**given))

    return run


class Server:
    """Answers each request of a connection with the next of `answers`, the last one again and again."""

    def __init__(self, *answers: bytes, reads_the_body: bool = True) -> None:
        self.answers = list(answers)
        self.reads_the_body = reads_the_body
        self.connections: list[asyncio.StreamWriter] = []
        self.ended: asyncio.Queue[int] = asyncio.Queue()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.connections)
        self.connections.append(writer)
        with closing(writer):
            while head := await self._head(reader):
                if self.reads_the_body:
                    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                    await reader.readexactly(length)
                answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
                writer.write(answer)
                if b"connection: close" in answer:
                    break
        self.ended.put_nowait(number)

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            return b""

    def hang_up(self) -> None:
        """Close the last connection for writing, at once: no event loop has heard of it yet."""
        with socket.socket(fileno=os.dup(self.connections[-1].get_extra_info("socket").fileno())) as one:
            one.shutdown(socket.SHUT_WR)


@asynccontextmanager
async def running(server: Server, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.url = f"{'https' if tls else 'http'}://localhost:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        for writer in server.connections:
            writer.close()


@asynccontextmanager
async def to(url: str, *, most: int = 1, idle_s: float = 60.0) -> AsyncIterator[Callable[..., Awaitable[bytes]]]:
    """Post a body; what comes back is the status and the answer's body."""
    connections = Connections(url, most=most, idle_s=idle_s)

    async def post(body: bytes = b"{}") -> bytes:
        request = httpx.Request("POST", url + "/x", content=body, extensions=LIMITS)
        response = await connections.handle_async_request(request)
        try:
            return b"%d %s" % (response.status_code, await response.aread())
        finally:
            await response.aclose()

    yield post
    await connections.aclose()


def own_certificate(folder: Path) -> tuple[Path, Path]:
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("openssl is not installed")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    how = f"req -x509 -newkey rsa:2048 -nodes -keyout {key} -out {certificate} -days 2"
    whose = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([openssl, *how.split(), *whose], check=True, capture_output=True)
    return certificate, key
