"""Connections to one server over which httpx sends: HTTP/1.1 by h11, on the event loop's own transports and TLS.

They stand in for httpx's own transport, which takes twice to thrice the processor time for a request. A connection
carries one request at a time, and is kept for the next if both sides are through with it. Only ConnectError,
ConnectTimeout and PoolTimeout mean that nothing was sent. How long an answer may take, and how large it may be, is for
the caller to limit.
"""

import asyncio
import select
import socket
from asyncio.staggered import staggered_race
from collections.abc import AsyncIterator
from functools import partial
from typing import cast

import h11
import httpx

# How long one of a server's addresses may keep silent before the next is tried beside it (RFC 8305).
NEXT_ADDRESS_S = 0.25
MAX_HEAD_BYTES = 100_000
# What comes faster than it is taken waits on the other side.
MAX_UNREAD_BYTES = 64 * 1024
# What is packed may unpack to a thousand times as much, so only so much of it is handed over at once.
PIECE_BYTES = 16 * 1024
# Parts of an answer that are taken at a stretch: if they hold a byte each, one read holds a second of work.
AT_A_STRETCH = 64


class Connections(httpx.AsyncBaseTransport):
    """At most `most` connections to the server of `url`; one that is idle for `idle_s` is closed."""

    def __init__(self, url: str, *, most: int, idle_s: float) -> None:
        self._server = httpx.URL(url)
        self._tls = httpx.create_ssl_context(trust_env=False) if self._server.scheme == "https" else None
        self._idle_s = idle_s
        self._idle: list[_Connection] = []
        self._room = asyncio.Semaphore(most)
        self._is_closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it and return the head of the answer, whose body is read from it, and which must be closed."""
        limits_s = request.extensions["timeout"]
        await self._room_for_one(limits_s["pool"])
        connection = None
        try:
            connection = self._kept() or await self._connected(limits_s["connect"])
            connection.send(request)
            head = await connection.head()
        except BaseException:
            self.give_back(connection)
            raise
        body = _Body(self, connection)
        return httpx.Response(head.status_code, headers=head.headers.raw_items(), stream=body)

    async def aclose(self) -> None:
        """Close what is idle; what is under way is closed where it ends."""
        self._is_closed = True
        while self._idle:
            self._idle.pop().close()

    def give_back(self, connection: "_Connection | None") -> None:
        """Its request is over, whatever became of it."""
        self._room.release()
        if connection is None:
            return
        if self._is_closed or not connection.waits_for_another(self._idle_s):
            connection.close()
        else:
            self._idle.append(connection)

    async def _room_for_one(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self._room.acquire()
        except TimeoutError as error:
            raise httpx.PoolTimeout("no connection became free") from error

    def _kept(self) -> "_Connection | None":
        while self._idle:
            connection = self._idle.pop()
            if connection.goes_on():
                return connection
        return None

    async def _connected(self, limit_s: float) -> "_Connection":
        opened: list[_Connection] = []
        try:
            async with asyncio.timeout(limit_s):
                return await self._first_to_connect(opened)
        except BaseException as error:
            # One may have been ready when the time was up, or its request was given up: nobody else knows of it.
            for connection in opened:
                connection.close()
            if isinstance(error, TimeoutError):
                raise httpx.ConnectTimeout("no connection in time") from error
            if isinstance(error, OSError | UnicodeError):  # the latter of a name that cannot be any server's
                raise httpx.ConnectError(str(error)) from error
            raise

    async def _first_to_connect(self, opened: "list[_Connection]") -> "_Connection":
        loop, host = asyncio.get_running_loop(), self._server.raw_host.decode()
        port = self._server.port or (443 if self._tls else 80)
        connect = partial(
            loop.create_connection,
            partial(_Connection, opened),
            ssl=self._tls,
            server_hostname=host if self._tls else None,
        )
        addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        first, _, errors = await staggered_race(
            [partial(connect, address[0], address[1], family=family) for family, _, _, _, address in addresses],
            NEXT_ADDRESS_S,
        )
        if first is None:
            raise OSError("no address can be connected to") from errors[0]
        connection: _Connection = first[1]
        return connection


class _Connection(asyncio.Protocol):
    """One connection and how far its request is. What came before an end is read before the end is noticed."""

    _transport: asyncio.Transport
    _closes_by_itself: asyncio.TimerHandle

    def __init__(self, opened: "list[_Connection]") -> None:
        self._opened = opened
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=MAX_HEAD_BYTES)
        self._lost: Exception | None = None
        self._more: asyncio.Future[None] | None = None
        self._look = select.poll()
        self._unread_bytes = 0
        self._taken = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._look.register(transport.get_extra_info("socket").fileno(), select.POLLIN | select.POLLOUT)
        self._opened.append(self)

    def data_received(self, data: bytes) -> None:
        if self._http.our_state is h11.IDLE:
            self.close()  # nobody asked
            return
        self._http.receive_data(data)
        self._unread_bytes += len(data)
        if self._unread_bytes > MAX_UNREAD_BYTES:
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> None:
        self._http.receive_data(b"")
        self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = exc or ConnectionResetError("closed")
        self._wake()

    def send(self, request: httpx.Request) -> None:
        """All of it: what the other side does not take yet waits in memory, where the body is anyway.

        Raises ConnectError if the other side has closed it: then nothing was sent.
        """
        if self._transport.is_closing():
            raise httpx.ConnectError("closed as soon as it was open")
        target = request.extensions.get("target", request.url.raw_path)
        head = h11.Request(method=request.method, target=target, headers=request.headers.raw)
        parts = [self._http.send(head), self._http.send(h11.Data(request.read())), self._http.send(h11.EndOfMessage())]
        self._transport.writelines([part for part in parts if part])

    async def head(self) -> h11.Response:
        """The head of the answer."""
        while not isinstance(event := await self.event(), h11.Response):
            pass
        return event

    async def event(self) -> object:
        """The next part of the answer."""
        try:
            while (event := self._http.next_event()) is h11.NEED_DATA:
                if self._lost is not None:
                    raise httpx.ReadError(str(self._lost)) from self._lost
                self._unread_bytes = 0
                self._transport.resume_reading()
                self._more = asyncio.get_running_loop().create_future()
                await self._more
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        self._taken += 1
        if self._taken % AT_A_STRETCH == 0:
            await asyncio.sleep(0)  # for others, and for the limits of time
        return event

    def waits_for_another(self, close_after_s: float) -> bool:
        """Whether it can carry another request, and stays open for one so long."""
        through = self._http.our_state is h11.DONE and self._http.their_state is h11.DONE
        # Under TLS the transport does not say what still waits to be sent, but then the socket takes no more.
        if not through or self._transport.get_write_buffer_size() or not self._ready_for() & select.POLLOUT:
            return False
        self._http.start_next_cycle()
        self._closes_by_itself = asyncio.get_running_loop().call_later(close_after_s, self.close)
        return True

    def goes_on(self) -> bool:
        """Take it up for another request, unless the other side has closed it, which the loop may not know yet."""
        self._closes_by_itself.cancel()
        if self._transport.is_closing() or self._http.trailing_data[0] or self._ready_for() != select.POLLOUT:
            self.close()
            return False
        return True

    def close(self) -> None:
        """Close it, whatever is under way."""
        self._transport.abort()

    def _ready_for(self) -> int:
        return next((events for _, events in self._look.poll(0)), 0)

    def _wake(self) -> None:
        if self._more is not None and not self._more.done():
            self._more.set_result(None)


class _Body(httpx.AsyncByteStream):
    def __init__(self, connections: Connections, connection: _Connection) -> None:
        self._connections, self._connection = connections, connection

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while isinstance(event := await self._connection.event(), h11.Data):
            for start in range(0, len(event.data), PIECE_BYTES):
                yield bytes(event.data[start : start + PIECE_BYTES])

    async def aclose(self) -> None:
        self._connections.give_back(self._connection)
