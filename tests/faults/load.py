"""Continuous seeded work: what other services and people do all day, while everything is being broken.

Each worker takes a recording that nobody else is asking about, does one thing to it, and waits until that is certain: a
publish is repeated until Kafka has it, a call of the API until it was answered. So the books always know which request
is the newest, whatever became of the processes in between.
"""

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from tests.faults.books import Books, Needless, Recording
from tests.faults.site import Site

PAUSE_S = 0.15
AGAIN_S = 0.3
CALL_TIMEOUT_S = 4.0
FOLDERS = {"One": 1, "Few": 4, "Some": 15, "Many": 60}
# A run that takes long is not to be one of ever more recordings; but faults of uploads need some to the end.
MANY, SELDOM = 300, 0.1
OLD_S = 5.0
# What somebody does, and how often.
ACTS = {"record": 5, "link": 8, "ask": 8, "ask_late": 3, "bring": 2, "revise": 2, "say_again": 2, "poison": 1}
_FIELDS = {"size_bytes": 2_621_440, "token": 1234, "processed_at": "2025-01-29T10:30:00Z"}


@dataclass(eq=False)
class Load:
    """`working` is set while there is load; `quiet()` waits until nothing of it is under way.

    `odd`: answers that an API should not give; one whose database has no tables, `without_tables`, may.
    """

    site: Site
    chance: random.Random
    workers: int
    books: Books = field(default_factory=Books)
    working: asyncio.Event = field(default_factory=asyncio.Event)
    odd: list[str] = field(default_factory=list)
    without_tables: bool = False
    said: list[tuple[str, bytes, bytes]] = field(default_factory=list)
    _number: int = 0
    resting: Counter[str] = field(default_factory=Counter)
    _doing: Counter[str] = field(default_factory=Counter)
    _producer: AIOKafkaProducer | None = None
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator["Load"]:
        """Workers, for as long as the block runs; load begins at once."""
        self.working.set()
        workers = [asyncio.create_task(self._work()) for _ in range(self.workers)]
        try:
            yield self
        finally:
            for one in workers:
                one.cancel()
            ended = await asyncio.gather(*workers, return_exceptions=True)
            if self._producer:
                await self._producer.stop()
            for error in ended:
                if isinstance(error, Exception):
                    raise error

    async def quiet(self) -> None:
        """No more load, until `working` is set again."""
        self.working.clear()
        while self._doing.total():  # noqa: ASYNC110  # nothing to be woken by is worth its code here
            await asyncio.sleep(0.05)

    @asynccontextmanager
    async def pause(self) -> AsyncIterator[None]:
        """No load while the block runs."""
        await self.quiet()
        try:
            yield
        finally:
            self.working.set()

    @asynccontextmanager
    async def without(self, *acts: str) -> AsyncIterator[None]:
        """None of these while the block runs, and nothing of them under way; everything else goes on."""
        self.resting.update(acts)
        try:
            while any(self._doing[one] for one in acts):  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.05)
            yield
        finally:
            self.resting -= Counter(acts)

    async def _work(self) -> None:
        while True:
            await self.working.wait()
            acts = {name: weight for name, weight in ACTS.items() if not self.resting[name]}
            [act] = self.chance.choices(list(acts), list(acts.values()))
            self._doing[act] += 1
            try:
                await getattr(self, act)()
            finally:
                self._doing[act] -= 1
            await asyncio.sleep(PAUSE_S)

    # -- what other services say

    async def record(self) -> None:
        """A recording that nobody has seen, in a folder of some size."""
        if len(self.books.recordings) >= MANY and self.chance.random() > SELDOM:
            return
        size = self.chance.choice(list(FOLDERS))
        number = self._next()
        there = sum(one.folder.startswith(size) for one in self.books.recordings.values())
        folder = f"{size}-{there // FOLDERS[size]}"
        one = Recording(f"rec-{number}", folder, f"{number}.wav", busy=True)
        self.books.recordings[one.recording_id] = one
        await self._say_processed(one)
        one.busy = False

    async def revise(self) -> None:
        """The same recording, transcribed anew; now and then the older revision comes last."""
        async with self._taken(1) as taken:
            for one in taken:
                one.revision += 2
                await self._say_processed(one)
                if self.chance.random() < 0.5:
                    older = one.revision - 1
                    place = await self._say_processed(one, revision=older)
                    self.books.needless["an older revision after a newer one"].append(
                        Needless("RecordingProcessed", place, one.recording_id, older)
                    )

    async def ask(self) -> None:
        """A link or an unlink by an event."""
        async with self._taken(1) as taken:
            for one in taken:
                await self._ask(one, datetime.now(UTC), None if self.chance.random() < 0.25 else self._ticket())

    async def ask_late(self) -> None:
        """Two requests, of which the older arrives last."""
        async with self._taken(1) as taken:
            for one in taken:
                newer = datetime.now(UTC)
                await self._ask(one, newer, self._ticket())
                older = newer - timedelta(seconds=OLD_S)
                place = await self._ask(one, older, self._ticket())
                self.books.needless["an older request after a newer one"].append(
                    Needless("TicketLinkRequested", place, one.recording_id, older)
                )

    async def say_again(self) -> None:
        """Something that was said before, word for word."""
        if self.said:
            again = self.chance.choice(self.said)
            self.books.needless["said again"].append(Needless(again[0], await self.publish(*again, note=False)))

    async def poison(self) -> None:
        """A record that nobody can apply."""
        topic = self.chance.choice(("RecordingProcessed", "TicketLinkRequested", "TicketSyncRequested"))
        await self.publish(topic, b"poison", f"{{poison {self._next()}".encode(), note=False)

    async def _say_processed(self, one: Recording, *, revision: int | None = None) -> tuple[int, int]:
        revision = revision or one.revision
        said = {"recording_id": one.recording_id, "folder_id": one.folder, "folder_name": one.folder, **_FIELDS}
        said |= {"filename": one.filename, "revision": revision, "transcript": f"words {revision}"}
        return await self.publish("RecordingProcessed", one.recording_id.encode(), json.dumps(said).encode())

    async def _ask(self, one: Recording, requested_at: datetime, ticket_id: str | None) -> tuple[int, int]:
        request_id = f"request-{self._next()}"
        said: dict[str, Any] = {"request_id": request_id, "requested_at": requested_at.isoformat()}
        said["recording_id"] = one.recording_id
        said["ticket_info"] = None if ticket_id is None else {"ticket_id": ticket_id}
        self.books.asked(one, requested_at, request_id, ticket_id)
        return await self.publish("TicketLinkRequested", request_id.encode(), json.dumps(said).encode())

    # -- what people do

    async def link(self) -> None:
        """A link by the API, with an id and a time of its own so that it may be repeated."""
        async with self._taken(1) as taken:
            for one in taken:
                await self.link_one(one)

    async def link_one(self, one: Recording) -> None:
        """The same for a recording that is nobody else's now."""
        requested_at, request_id, ticket = datetime.now(UTC), f"request-{self._next()}", self._ticket()
        body = {"recording_id": one.recording_id, "ticket_info": {"ticket_id": ticket}}
        body |= {"request_id": request_id, "requested_at": requested_at.isoformat()}
        self.books.asked(one, requested_at, request_id, ticket)
        await self.call("linker", "POST", "/links", json=body)

    async def bring(self) -> None:
        """An import of several recordings, in one file."""
        async with self._taken(self.chance.choice((2, 8, 30))) as taken:
            if not taken:
                return
            tickets = [self._ticket() for _ in taken]
            lines = [f"{one.recording_id},{one.filename},{ticket}" for one, ticket in zip(taken, tickets, strict=True)]
            content = "\n".join(["recording_id,filename,ticket", *lines]).encode()
            _, tries = await self.call("linker", "POST", "/imports", params={"filename": "links.csv"}, content=content)
            for one, ticket in zip(taken, tickets, strict=True):
                self.books.asked(one, datetime.now(UTC), "", ticket)
                # A try that was not answered may yet be accepted, and would then count as the newest.
                one.left_alone = tries > 1

    # -- how

    async def call(self, service: str, method: str, path: str, **options: Any) -> tuple[Any, int]:  # noqa: ANN401
        """A call of an API, at any of its copies, until one answers; the JSON, and how many tries it took."""
        tries = 1
        while (answer := await self.ask_service(service, method, path, **options)) is None:
            tries += 1
            await asyncio.sleep(AGAIN_S)
        assert answer.is_success, (path, answer.status_code, answer.text)
        return answer.json(), tries

    async def ask_service(self, service: str, method: str, path: str, **options: Any) -> httpx.Response | None:  # noqa: ANN401
        """One try, at any of its copies; None if there was no answer, or not now."""
        url = self.chance.choice(self.site.copies_of(service)).url + path
        headers = {"Authorization": f"Bearer {self.site.settings['API_TOKEN']}"}
        try:
            answer = await self.site.http.request(method, url, headers=headers, timeout=CALL_TIMEOUT_S, **options)
        except httpx.TransportError:
            return None
        if answer.status_code == httpx.codes.INTERNAL_SERVER_ERROR and not self.without_tables:
            self.odd.append(f"{method} {path} of {service}: {answer.status_code} {answer.text}")
        return None if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR else answer

    async def publish(self, topic: str, key: bytes, value: bytes, *, note: bool = True) -> tuple[int, int]:
        """Until Kafka has it; where it stands: partition and offset."""
        while True:
            try:
                producer = await self._ready()
                found = await producer.send_and_wait(topic, value, key=key)
            except (KafkaError, OSError, TimeoutError):
                await self._drop_producer()
                await asyncio.sleep(AGAIN_S)
            else:
                self.books.put_in[topic] += 1
                if note:
                    self.said.append((topic, key, value))
                return found.partition, found.offset

    async def _ready(self) -> AIOKafkaProducer:
        async with self._making:
            if self._producer is None:
                self._producer = await self._new_producer()
            return self._producer

    async def _new_producer(self) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            bootstrap_servers=self.site.broker,
            enable_idempotence=True,
            request_timeout_ms=5_000,
            metadata_max_age_ms=5_000,
        )
        try:
            await producer.start()
        except BaseException:
            await producer.stop()
            raise
        return producer

    async def _drop_producer(self) -> None:
        producer, self._producer = self._producer, None
        if producer:
            with suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(producer.stop(), 5)

    @asynccontextmanager
    async def _taken(self, number: int) -> AsyncIterator[list[Recording]]:
        free = self.books.free()
        taken = self.chance.sample(free, min(number, len(free)))
        for one in taken:
            one.busy = True
        try:
            yield taken
        finally:
            for one in taken:
                one.busy = False

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _ticket(self) -> str:
        return f"T-{self._next()}"
