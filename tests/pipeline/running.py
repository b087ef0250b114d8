"""A whole stack of real processes, and what a test does to it and asks of it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import asyncpg
import httpx
import psutil
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from tests.ops.commands import Ended, in_process

TICKETSYNC = str(Path(sys.executable).parent / "ticketsync")
READY_WITHIN_S = 240
SETTLED_WITHIN_S = 90

Json = dict[str, Any]
T = TypeVar("T")
_folders = count(1)


@dataclass
class Stack:
    """A running `ticketsync up`."""

    data_dir: Path
    up: subprocess.Popen[str]
    http: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=40, trust_env=False))

    @property
    def addresses(self) -> dict[str, str]:
        found: dict[str, str] = json.loads((self.data_dir / "stack.json").read_text())
        return {**found, "api_token": Path(found["api_token_file"]).read_text().strip()}

    @property
    def cloud_token(self) -> str:
        return (self.data_dir / "tokens" / "emulator_token").read_text().strip()

    # -- as an operator

    def run(self, *arguments: object, stdin: str = "") -> Ended:
        return in_process(*arguments, "--data-dir", self.data_dir, stdin=stdin)

    def ok(self, *arguments: object, stdin: str = "") -> Json:
        """A command that must succeed; its JSON."""
        done = self.run(*arguments, "--json", stdin=stdin)
        assert done.code == 0, (arguments, done.out, done.err)
        return done.json

    def link(self, recording_id: str, ticket: str) -> Json:
        return self.api(
            "linker", "POST", "/links", json={"recording_id": recording_id, "ticket_info": {"ticket_id": ticket}}
        )

    def unlink(self, recording_id: str) -> Json:
        return self.api("linker", "DELETE", "/links", params={"recording_id": recording_id})

    def settle(self, *, within_s: int = SETTLED_WITHIN_S) -> Json:
        done = self.run("status", "--wait", "settled", "--timeout", within_s, "--json")
        assert done.code == 0, (done.out, done.err, self.words())
        return done.json

    def api(self, service: str, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401
        """A request to a service's API, repeated while the service is starting or catching up."""

        def answered() -> Json | None:
            try:
                answer = self.http.request(
                    method,
                    self.addresses[f"{service}_url"] + path,
                    headers={"Authorization": f"Bearer {self.addresses['api_token']}"},
                    **options,
                )
            except httpx.TransportError:
                return None
            if answer.status_code == 503:
                return None
            assert answer.is_success, (method, path, answer.status_code, answer.text)
            content: Json = answer.json()
            return content

        return eventually(answered, within_s=60)

    def state_of(self, recording_id: str) -> Json:
        return self.api("linker", "GET", f"/recordings/{recording_id}")

    def words(self) -> str:
        """What the supervisor said, for the message of a failed test."""
        return (self.data_dir.parent / f"{self.data_dir.name}.out").read_text()[-2000:]

    # -- as another service

    def publish(self, *events: Json, topic: str = "RecordingProcessed", key: str = "recording_id") -> None:
        """Plain JSON from a plain client, without any ce_ header."""

        async def send() -> None:
            producer = AIOKafkaProducer(
                bootstrap_servers=self.addresses["kafka_bootstrap_servers"], enable_idempotence=True
            )
            await producer.start()
            try:
                for event in events:
                    await producer.send_and_wait(topic, json.dumps(event).encode(), key=event[key].encode())
            finally:
                await producer.stop()

        asyncio.run(send())

    def records(self, topic: str) -> list[tuple[str, Json]]:
        """Everything on a topic now: (key, value), each partition in order of offset."""

        async def read() -> list[tuple[str, Json]]:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.addresses["kafka_bootstrap_servers"], auto_offset_reset="earliest"
            )
            await consumer.start()
            try:
                partitions = [TopicPartition(topic, one) for one in range(12)]
                consumer.assign(partitions)
                ends = await consumer.end_offsets(partitions)
                await consumer.seek_to_beginning()
                found: list[tuple[str, Json]] = []
                while any([await consumer.position(one) < end for one, end in ends.items()]):
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        found += [(one.key.decode(), json.loads(one.value)) for one in records]
                return found
            finally:
                await consumer.stop()

        return asyncio.run(read())

    # -- as the cloud

    def cloud(self, method: str, path: str, **options: Any) -> Json:  # noqa: ANN401
        answer = self.http.request(
            method,
            f"{self.addresses['cloud_url']}/emulator{path}",
            headers={"Authorization": f"Bearer {self.cloud_token}"},
            **options,
        )
        assert answer.is_success, (path, answer.text)
        content: Json = answer.json()
        return content

    def forget(self, clouds_uuid: str) -> None:
        """Somebody deletes a folder in the cloud application."""
        answer = self.http.delete(
            f"{self.addresses['cloud_url']}/api/external/v1/recording/{quote(clouds_uuid, safe='')}",
            headers={"Authorization": f"Bearer {self.cloud_token}"},
        )
        assert answer.is_success, answer.text

    def effects(self, folder: str | None = None, *, after: int = 0) -> list[Json]:
        """What had an effect in the cloud, in order; in one folder (by its name) or in all."""
        found: list[Json] = []
        while page := self.cloud("GET", "/effects", params={"after": after})["effects"]:
            found += page
            after = page[-1]["seq"]
        uuids = {one["uuid"] for one in self.folders(folder)} if folder else set()
        return [one for one in found if not folder or one["uuid"] in uuids]

    def last_effect(self) -> int:
        return max((one["seq"] for one in self.effects()), default=0)

    def folders(self, name: str | None = None) -> list[Json]:
        folders: list[Json] = self.cloud("GET", "/folders")["folders"]
        return [one for one in folders if name in {None, one["folder"]}]

    def tickets(self, folder: str) -> dict[str, str | None]:
        """Filename → ticket id as the cloud shows it. A folder or file that is there twice fails the test."""
        [found] = self.folders(folder)
        names = [one["filename"] for one in found["files"]]
        assert len(names) == len(set(names)), f"files twice: {sorted(names)}"
        return {one["filename"]: (one.get("ticket_info") or {}).get("ticket_id") for one in found["files"]}

    # -- as fate

    def processes(self, *named: str) -> list[psutil.Process]:
        """Children whose command line has these words, such as "run", "linker"."""
        found = []
        for child in psutil.Process(self.up.pid).children(recursive=True):
            try:
                line = child.cmdline() if child.status() != psutil.STATUS_ZOMBIE else []
            except psutil.NoSuchProcess:
                continue
            if line and all(word in line for word in named):
                found.append(child)
        return found

    def process(self, *named: str) -> psutil.Process:
        [found] = self.processes(*named)
        return found

    def kill(self, *named: str) -> None:
        self.process(*named).kill()

    def database(self, service: str) -> str:
        return self.addresses[f"{service}_database_url"].replace("postgresql+asyncpg://", "postgresql://")

    def sql(self, service: str, *statements: str) -> list[asyncpg.Record]:
        """Run statements in a service's database; the rows of the last."""

        async def execute() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.database(service))
            try:
                rows: list[asyncpg.Record] = []
                for statement in statements:
                    rows = await connection.fetch(statement)
                return rows
            finally:
                await connection.close()

        return asyncio.run(execute())


@contextmanager
def running_stack(data_dir: Path, **environment: str) -> Iterator[Stack]:
    """`ticketsync up` on `data_dir` until the block ends; nothing of it is left then."""
    said = data_dir.parent / f"{data_dir.name}.out"
    with said.open("w") as out:
        up = subprocess.Popen(
            [TICKETSYNC, "up", "--data-dir", str(data_dir)],
            stdout=out,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, **environment},
            start_new_session=True,
        )
    try:

        def ready() -> bool:
            assert up.poll() is None, said.read_text()
            return (data_dir / "stack.json").exists()

        eventually(ready, within_s=READY_WITHIN_S)
        stack = Stack(data_dir, up)
        with stack.http:
            yield stack
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(30)


def eventually(ask: Callable[[], T | None], *, within_s: float = 30, every_s: float = 0.1) -> T:
    """The first answer that is neither None nor false."""
    until = time.monotonic() + within_s
    while not (answer := ask()):
        assert time.monotonic() < until, f"not within {within_s:g} s: {ask}"
        time.sleep(every_s)
    return answer


def a_folder() -> str:
    """A folder that no other test has; its id is its name."""
    return f"folder-{next(_folders)}-{time.time_ns()}"


def recordings(folder: str, number: int, **fields: object) -> list[Json]:
    """Recordings of one folder, numbered from 0."""
    return [
        {
            "recording_id": f"{folder}/{i}",
            "folder_id": folder,
            "folder_name": folder,
            "filename": f"{folder}-{i}.wav",
            "size_bytes": 2_621_440,
            "token": 1234,
            "transcript": f"transcript of {i}",
            "processed_at": "2025-01-29T10:30:00Z",
            "extra_field_that_nobody_knows": True,
            **fields,
        }
        for i in range(number)
    ]


def ids(events: Sequence[Mapping[str, Any]]) -> list[str]:
    return [one["recording_id"] for one in events]
