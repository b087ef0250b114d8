"""A TCP proxy between the services and Kafka, which breaks connections at moments that nobody can hit by chance.

It reads the frames of Kafka's protocol. A publish can be delivered and its answer lost (`cut`: the client cannot know
what became of it), or be answered in the broker's place and never delivered (`swallow`: acknowledged and lost, at the
offset that another record is given then). With `away` nobody gets through. What really happened is counted in `seen`;
what was merely asked for is not.
"""

import asyncio
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from aiokafka.protocol import produce

Ends = Callable[[Collection[str]], Awaitable[Mapping[tuple[str, int], int]]]

PRODUCE = 0
IN_TURN_S = 0.005
LENGTH = struct.Struct(">i")
HEADER = struct.Struct(">hhi")
_REQUESTS = {number: getattr(produce, f"ProduceRequest_v{number}") for number in range(3, 8)}
_RESPONSES = {number: getattr(produce, f"ProduceResponse_v{number}") for number in range(3, 8)}
# What stands around a partition's offset: no error, and what was not asked for.
_PARTITION_ANSWER = {3: (0, -1), 4: (0, -1), 5: (0, -1, 0), 6: (0, -1, 0), 7: (0, -1, 0)}


@dataclass(frozen=True)
class Publish:
    """A produce request as it passes: which client sends it, and to which topics."""

    version: int
    correlation: int
    client: str
    topics: dict[str, list[int]]


@dataclass
class _Passing:
    """What is under way on one connection; `cut`: the requests whose answer is not to arrive."""

    unanswered: int = 0
    cut: set[int] = field(default_factory=set)


@dataclass(eq=False)
class KafkaProxy:
    """`cut`, `swallow`: how often the next publish to a topic meets that fault; `ends`: asks the broker for the end of
    each partition of some topics."""

    port: int
    upstream: int
    ends: Ends
    away: bool = False
    cut: Counter[str] = field(default_factory=Counter)
    swallow: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    _server: asyncio.Server | None = None
    _open: set[asyncio.StreamWriter] = field(default_factory=set)
    _lines: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", self.port, limit=2**24)

    async def stop(self) -> None:
        """Close everything."""
        if self._server:
            self._server.close()
        self.drop()
        await asyncio.gather(*self._lines, return_exceptions=True)

    def drop(self) -> None:
        """Break every connection."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line = asyncio.current_task()
        assert line is not None
        self._lines.add(line)
        self._open.add(writer)
        try:
            if self.away:
                self.seen["turned away"] += 1
                return
            with suppress(OSError, asyncio.IncompleteReadError):
                await self._connect(reader, writer)
        finally:
            self._open.discard(writer)
            writer.transport.abort()
            self._lines.discard(line)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_broker, to_broker = await asyncio.open_connection("127.0.0.1", self.upstream, limit=2**24)
        self._open.add(to_broker)
        passing = _Passing()
        ways = [
            asyncio.create_task(self._requests(reader, to_broker, writer, passing)),
            asyncio.create_task(self._answers(from_broker, writer, passing)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._open.discard(to_broker)
            to_broker.transport.abort()

    async def _requests(
        self, reader: asyncio.StreamReader, broker: asyncio.StreamWriter, client: asyncio.StreamWriter, line: _Passing
    ) -> None:
        while True:
            frame = await _frame(reader)
            publish = published(frame)
            if publish and self._takes(self.swallow, publish):
                while line.unanswered:  # noqa: ASYNC110  # answers come in the order of the requests
                    await asyncio.sleep(IN_TURN_S)
                answer = acknowledgement(publish, await self.ends(publish.topics))
                self.seen["acknowledged and lost"] += 1
                _write(client, answer)
                continue
            if publish and self._takes(self.cut, publish):
                line.cut.add(publish.correlation)
            line.unanswered += 1
            _write(broker, frame)
            await broker.drain()

    async def _answers(self, broker: asyncio.StreamReader, client: asyncio.StreamWriter, line: _Passing) -> None:
        while True:
            frame = await _frame(broker)
            if LENGTH.unpack_from(frame)[0] in line.cut:
                self.seen["delivered, answer lost"] += 1
                return
            line.unanswered -= 1
            _write(client, frame)
            await client.drain()

    def _takes(self, armed: Counter[str], publish: Publish) -> bool:
        [topic, *others] = publish.topics
        if others or armed[topic] < 1:
            return False
        armed[topic] -= 1
        return True


def published(frame: bytes) -> Publish | None:
    """What a request publishes; None if it is another kind of request."""
    kind, version, correlation = HEADER.unpack_from(frame)
    if kind != PRODUCE or version not in _REQUESTS:
        return None
    rest = BytesIO(frame[HEADER.size :])
    client = rest.read(int.from_bytes(rest.read(2), "big", signed=True)).decode()
    request: Any = _REQUESTS[version].decode(rest)
    topics = {name: [partition for partition, _ in partitions] for name, partitions in request.topics}
    return Publish(version, correlation, client, topics)


def acknowledgement(publish: Publish, ends: Mapping[tuple[str, int], int]) -> bytes:
    """What a broker would answer that has put it all at the end of each partition."""
    error, *rest = _PARTITION_ANSWER[publish.version]
    topics = [(name, [(one, error, ends[name, one], *rest) for one in those]) for name, those in publish.topics.items()]
    answer = _RESPONSES[publish.version](topics, 0)
    return LENGTH.pack(publish.correlation) + bytes(answer.encode())


async def _frame(reader: asyncio.StreamReader) -> bytes:
    [size] = LENGTH.unpack(await reader.readexactly(LENGTH.size))
    return await reader.readexactly(size)


def _write(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(LENGTH.pack(len(frame)) + frame)
