"""The process itself, as it is deployed: `ticketsync run cloud-updater` on genuine Kafka and PostgreSQL."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest

from schemas.events import Event
from schemas.topics import TOPICS
from shared import topics
from shared.facts import as_record
from shared.producer import Outgoing
from tests.cloud_updater.given import NOON, a_link, a_resync, a_transfer
from tests.cloud_updater.running import pushed, tickets
from tests.emulator.running import TOKEN, Emulator, a_file
from tests.servers import CreateDatabase
from tests.shared.databases import taking_no_connections
from tests.shared.folding import publish

START_S = 90.0
WITHIN_S = 60.0
API_TOKEN = "an-api-token-that-nobody-sees"


@dataclass
class Process:
    """`log` is where it writes to."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, headers={"authorization": f"Bearer {API_TOKEN}"}, timeout=10, trust_env=False)

    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3_000:]
        try:
            return self.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> float:
        """As a supervisor does. Returns the seconds that it took."""
        begun = time.monotonic()
        self.process.terminate()
        assert self.process.wait(30) == 0
        return time.monotonic() - begun

    def lines(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@dataclass(frozen=True)
class Setting:
    """A migrated database, the topics, and a cloud: all that a process needs."""

    servers: str
    database_url: str
    cloud: Emulator
    folder: Path

    def environment(self, **more: str) -> dict[str, str]:
        own = {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "CLOUD_UPDATER_DATABASE_URL": self.database_url,
            "CLOUDS_URL": self.cloud.url,
            "CLOUDS_TOKEN": TOKEN,
            "API_TOKEN": API_TOKEN,
        }
        return {**os.environ, **own, **more}

    @contextmanager
    def running(self, **environment: str) -> Iterator[Process]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log = self.folder / f"{uuid4().hex}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(port, "--migrate"), env=self.environment(**environment), stdout=output, stderr=subprocess.STDOUT
            )
        one = Process(process, f"http://127.0.0.1:{port}", log)
        try:
            wait_until(one.is_ready, START_S)
            yield one
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()

    async def publish(self, *events: Event) -> None:
        await publish(self.servers, [as_record_of(event) for event in events])


def command(port: int, *more: str) -> Sequence[str]:
    code = "import sys; from ops.main import main; sys.exit(main(sys.argv[1:]))"
    return [sys.executable, "-c", code, "run", "cloud-updater", "--port", str(port), *more]


def as_record_of(event: Event) -> Outgoing:
    topic = next(topic for topic in TOPICS if topic.event is type(event))
    key = str(getattr(event, str(topic.key_field)))
    return as_record(topic, event, key=key, version=uuid4().hex, source="test", time=NOON)


def wait_until(condition: Callable[[], object], within_s: float = WITHIN_S) -> None:
    ends_at = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < ends_at, "not in time"
        time.sleep(0.05)


@pytest.fixture
async def setting(
    kafka_bootstrap_servers: str, create_database: CreateDatabase, cloud: Emulator, tmp_path: Path
) -> Setting:
    await topics.apply(kafka_bootstrap_servers)
    return Setting(kafka_bootstrap_servers, await create_database(), cloud, tmp_path)


def an_id() -> str:
    """The topics are shared by the whole run, so every recording has a name of its own."""
    return f"R-{uuid4().hex}"


async def test_a_database_that_is_not_migrated_is_refused(setting: Setting) -> None:
    refused = run_to_its_end(setting)

    assert refused.returncode == 78
    assert "CLOUD_UPDATER_DATABASE_URL" in refused.stderr
    assert setting.database_url not in refused.stderr + refused.stdout


async def test_a_lease_that_is_too_short_is_refused(setting: Setting) -> None:
    refused = run_to_its_end(setting, LEASE_S="30")

    assert refused.returncode == 78
    assert "LEASE_S" in refused.stderr


async def test_it_stops_within_seconds_while_a_request_is_held_and_goes_on_after_it(
    setting: Setting, cloud: Emulator
) -> None:
    one = an_id()
    uuid = cloud.folder(a_file(f"{one}.wav"))
    await setting.publish(a_transfer(one, uuid=uuid), a_link(one, ticket_id="T-9"))
    cloud.control("POST", "hold", {"route": "update_ticket"})
    with setting.running() as process:
        cloud.wait_until_held()
        took_s = process.stop()
    held_to_the_end = tickets(cloud, uuid)
    cloud.control("POST", "wipe")
    uuid_again = cloud.folder(a_file(f"{one}.wav"))
    await setting.publish(a_transfer(one, 2, uuid=uuid_again))

    with setting.running() as process:
        wait_until(lambda: tickets(cloud, uuid_again) == {one: "T-9"})
        process.stop()

    assert took_s < 12
    assert held_to_the_end == {one: None}


async def test_it_lives_and_is_not_ready_while_its_database_takes_no_connections(
    setting: Setting, postgres_url: str
) -> None:
    with setting.running() as process:
        async with taking_no_connections(postgres_url, urlsplit(setting.database_url).path.removeprefix("/")):
            wait_until(lambda: process.get("/readyz").status_code == 503)
            told = process.get("/readyz").json()
            alive = process.get("/livez").status_code
        wait_until(process.is_ready)
        process.stop()

    assert (told["ready"], told["database"]["answers"], alive) == (False, False, 200)


async def test_it_logs_what_it_does_and_nobodys_secrets(setting: Setting, cloud: Emulator) -> None:
    good, bad, poison = an_id(), an_id(), an_id()
    uuid = cloud.folder(a_file(f"{good}.wav"), a_file(f"{bad}.wav"))
    ticket = {"ticket_id": "T-1", "customer_name": "Jane Customer", "agent_name": "Joe Agent"}
    secret = "the words of the call"
    file = {"size": "1 KB", "token": 1, "transcribe": secret}
    cloud.arm(status=422, route="update_ticket", filename=f"{bad}.wav", times=None)
    cloud.arm(kind="close_after_effect", route="update_ticket")
    broken = as_record_of(a_link(poison))
    broken_value = broken.value.replace(b'"link_version":1', b'"link_version":"Jane Customer"')

    with setting.running(LOG_LEVEL="DEBUG") as process:
        await publish(setting.servers, [type(broken)(broken.topic, broken.key, broken_value, broken.headers)])
        await setting.publish(
            *(a_transfer(one, uuid=uuid, file={"filename": f"{one}.wav", **file}) for one in (good, bad)),
            *(a_link(one, ticket_info=ticket) for one in (good, bad)),
            a_resync(f"Q-{uuid4().hex}", recording_ids=[good], force=True),
        )
        wait_until(lambda: tickets(cloud, uuid)[good] == "T-1")
        wait_until(lambda: process.get("/status").json()["dead_letters"] >= 1)
        metrics = process.get("/metrics").text
        status = process.get(f"/recordings/{bad}").json()
        process.stop()

    log = process.log.read_text()
    lines = process.lines()
    assert {"started", "gate open", "lane open", "tickets not pushed", "stopped"} <= {line["event"] for line in lines}
    assert all({"timestamp", "level", "service"} <= line.keys() for line in lines)
    for hidden in (secret, "Jane", "Joe Agent", TOKEN, API_TOKEN, setting.database_url):
        assert hidden not in log
        assert hidden not in metrics
    assert status["link_version"] == 1
    assert 'ticketsync_blocked{reason="rejected"} ' in metrics
    assert 'ticketsync_lane_stopped{reason="circuit_open"} 0.0' in metrics
    names = set(re.findall(r"^\w+", metrics, re.MULTILINE))
    assert {"ticketsync_dead_letters", "ticketsync_oldest_pending_seconds"} <= names
    assert re.search(r'ticketsync_folded_records_total\{result="bad",topic="TicketLinked"\} [1-9]', metrics)


async def test_a_database_set_back_while_it_idles_sends_nothing_needless(setting: Setting, cloud: Emulator) -> None:
    names = [an_id() for _ in range(5)]
    uuid = cloud.folder(*(a_file(f"{one}.wav") for one in names))
    with setting.running() as process:
        await setting.publish(*(a_transfer(one, uuid=uuid) for one in names))
        wait_until(lambda: process.get(f"/recordings/{names[-1]}").status_code == 200)
        await copy_tables(setting, "keep")
        await setting.publish(*(a_link(one) for one in names))
        wait_until(lambda: tickets(cloud, uuid) == dict.fromkeys(names, "T-1"))
        wait_until(lambda: acknowledged(process, names))
        before = pushed(cloud)
        await copy_tables(setting, "restore")
        wait_until(lambda: "gate closed" in {line["event"] for line in process.lines()})
        wait_until(lambda: acknowledged(process, names))
        await setting.publish(a_link(names[0], 2, ticket_id="T-2"))
        wait_until(lambda: tickets(cloud, uuid)[names[0]] == "T-2")
        process.stop()

    assert pushed(cloud) == [*before, [names[0]]]


def run_to_its_end(setting: Setting, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(1), env=setting.environment(**environment), capture_output=True, text=True, timeout=60, check=False
    )


def acknowledged(process: Process, recording_ids: Sequence[str]) -> bool:
    answers = [process.get(f"/recordings/{one}") for one in recording_ids]
    return all(answer.status_code == 200 and answer.json()["acknowledged_link_version"] > 0 for answer in answers)


async def copy_tables(setting: Setting, act: Literal["keep", "restore"]) -> None:
    """As a backup of the database and its restoration, all tables at one moment."""
    connection = await asyncpg.connect(setting.database_url.replace("+asyncpg", ""))
    try:
        await connection.execute("create schema if not exists kept")
        async with connection.transaction():
            names = [
                row["tablename"]
                for row in await connection.fetch(
                    "select tablename from pg_tables where schemaname = 'public' order by tablename <> 'position'"
                )
            ]
            await connection.execute(f"lock table {', '.join(names)} in access exclusive mode")
            for name in names:
                if act == "keep":
                    await connection.execute(f"create table if not exists kept.{name} as select * from public.{name}")
                else:
                    kept = f"overriding system value select * from kept.{name}"
                    await connection.execute(f"truncate public.{name}; insert into public.{name} {kept}")
    finally:
        await connection.close()
