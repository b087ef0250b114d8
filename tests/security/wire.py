"""A server that keeps every byte that it gets, and answers each request as the test says."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

Respond = Callable[["Received"], bytes]


@dataclass(frozen=True)
class Received:
    """One request as it came over the wire."""

    head: bytes
    body: bytes

    @property
    def path(self) -> str:
        return self.head.split(b" ")[1].decode()

    @property
    def header_names(self) -> list[str]:
        return sorted(line.partition(b":")[0].decode().lower() for line in self.head.split(b"\r\n")[1:] if line)


@dataclass
class Wire:
    """`url`: its address; `received`: all requests so far."""

    url: str
    received: list[Received] = field(default_factory=list)


@asynccontextmanager
async def listening(respond: Respond) -> AsyncIterator[Wire]:
    """A server of HTTP/1.1 that ends each connection after one answer."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next((int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:")), 0)
        request = Received(head, await reader.readexactly(length))
        wire.received.append(request)
        writer.write(respond(request))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    wire = Wire(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield wire


def answer(status: str, body: bytes = b"{}", *headers: str) -> bytes:
    """One answer in JSON."""
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}", *headers]
    return "\r\n".join([*lines, "connection: close", "", ""]).encode() + body
