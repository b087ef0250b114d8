"""The three services as processes on a guarded Kafka, and what others do around them, each with rights of its own."""

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from shared.kafka import client_options
from tests.emulator.running import TOKEN as CLOUD_TOKEN
from tests.emulator.running import Emulator
from tests.ops.commands import TICKETSYNC
from tests.pipeline.running import eventually
from tests.security.guarded_kafka import GuardedKafka

API_TOKEN = "canary-token-of-the-api"
CUSTOMER, AGENT, TRANSCRIPT = "Canary Customer", "Canary Agent", "canary words of the call"
READY_WITHIN_S = 120


async def drop(superuser_url: str, names: list[str]) -> None:
    connection = await asyncpg.connect(superuser_url)
    for name in names:
        await connection.execute(f"drop database {name} with (force)")
        await connection.execute(f"drop role {name}")
    await connection.close()


@contextmanager
def service(name: str, kafka: GuardedKafka, database_url: str, cloud: Emulator, log: Path) -> Iterator[str]:
    """The service as a process until the block ends; its address, once it is ready."""
    with started(name, environment(name, kafka, database_url, cloud), log) as (process, url):

        def ready() -> bool:
            assert process.poll() is None, log.read_text()[-3_000:]
            try:
                return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
            except httpx.TransportError:
                return False

        eventually(ready, within_s=READY_WITHIN_S)
        yield url


@contextmanager
def started(name: str, settings: Mapping[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process of a service with these settings, and its address."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [str(TICKETSYNC), "run", name.replace("_", "-"), "--port", str(port), "--migrate"]
    with log.open("w") as output:
        process = subprocess.Popen(command, env={**os.environ, **settings}, stdout=output, stderr=output)
    try:
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def environment(
    name: str, kafka: GuardedKafka, database_url: str, cloud: Emulator, *, user: str | None = None
) -> dict[str, str]:
    """The settings of a service; `user`: whose name and password it shows to Kafka, its own unless given."""
    return {
        **kafka.environment(user or name),
        f"{name.upper()}_DATABASE_URL": database_url,
        "CLOUDS_URL": cloud.url,
        "CLOUDS_TOKEN": CLOUD_TOKEN,
        "API_TOKEN": API_TOKEN,
        "LOG_LEVEL": "DEBUG",
    }


def a_recording(recording_id: str) -> dict[str, object]:
    return {
        "recording_id": recording_id,
        "folder_id": "F1",
        "folder_name": "Monday",
        "filename": f"{recording_id}.wav",
        "size_bytes": 1,
        "token": 1,
        "transcript": TRANSCRIPT,
        "requires_ticket": False,
        "processed_at": "2025-01-29T10:30:00Z",
    }


def shown_to_anybody(urls: Iterable[str]) -> str:
    """What the services say without a token."""
    paths = ("/livez", "/readyz", "/metrics")
    return "".join(httpx.get(url + path, trust_env=False).text for url in urls for path in paths)


def link(linker_url: str, recording_id: str, ticket_id: str) -> None:
    ticket = {"ticket_id": ticket_id, "customer_name": CUSTOMER, "agent_name": AGENT}
    httpx.post(
        f"{linker_url}/links",
        json={"recording_id": recording_id, "ticket_info": ticket},
        headers={"authorization": f"Bearer {API_TOKEN}"},
        trust_env=False,
    ).raise_for_status()


def ask_strangely(linker_url: str) -> list[int]:
    """A spreadsheet with a customer in it, values in the wrong places, a guessed token; the status of each answer."""
    as_one_of_us = {"authorization": f"Bearer {API_TOKEN}"}
    rows = f"filename;ticket_id;customer_name;agent_name\nR1.wav;T-1;{CUSTOMER};{AGENT}\nR1.wav;;{CUSTOMER};{AGENT}\n"
    bad_url = {"ticket_id": "T-2", "ticket_url": f"ftp://help/{CUSTOMER}", "customer_name": CUSTOMER}
    with httpx.Client(base_url=linker_url, trust_env=False) as client:
        answers = (
            client.post("/imports?filename=tickets.csv&dry_run=true", content=rows, headers=as_one_of_us),
            client.post("/links", json={"recording_id": "R1", "ticket_info": bad_url}, headers=as_one_of_us),
            client.post("/links", content=f'{{"customer_name": "{CUSTOMER}"', headers=as_one_of_us),
            client.get(f"/recordings/{CUSTOMER}", headers=as_one_of_us),
            client.get(f"/nowhere/{CUSTOMER}?agent={AGENT}", headers={"authorization": "Bearer canary-guess"}),
        )
    return [answer.status_code for answer in answers]


def tickets(cloud: Emulator) -> list[str | None]:
    folders = cloud.control("GET", "folders")["folders"]
    return [(file["ticket_info"] or {}).get("ticket_id") for folder in folders for file in folder["files"]]


async def publish(kafka: GuardedKafka, topic: str, *events: Mapping[str, object]) -> None:
    producer = AIOKafkaProducer(**client_options(kafka.settings("publisher")), enable_idempotence=True)
    async with producer:
        for event in events:
            await producer.send_and_wait(topic, json.dumps(event).encode(), key=str(event["recording_id"]).encode())


async def request_badly(kafka: GuardedKafka) -> int:
    """TicketLinkRequested of which every value says what nobody may read, some of them no JSON; how many."""
    producer = AIOKafkaProducer(**client_options(kafka.settings("publisher")), enable_idempotence=True)
    said = {"request_id": "Q1", "requested_at": CUSTOMER, "recording_id": "R1", "ticket_info": {"ticket_url": CUSTOMER}}
    values = (json.dumps(said).encode(), f"{{{CUSTOMER}".encode())
    headers: tuple[list[tuple[str, bytes]], ...] = (
        [],
        [("content-type", CUSTOMER.encode()), ("ce_type", AGENT.encode())],
    )
    bad = [(value, named) for value in values for named in headers]
    async with producer:
        for value, named in bad:
            await producer.send_and_wait("TicketLinkRequested", value, key=CUSTOMER.encode(), headers=named)
    return len(bad)


def bad_requests(linker_url: str) -> int:
    """How many TicketLinkRequested are dead letters."""
    answer = httpx.get(
        f"{linker_url}/dead-letters?topic=TicketLinkRequested&limit=10",
        headers={"authorization": f"Bearer {API_TOKEN}"},
        trust_env=False,
    )
    return len(answer.raise_for_status().json()["items"])


async def reason_of_one(kafka: GuardedKafka, topic: str) -> bytes:
    """The reason of the first dead letter that the operator reads there."""
    consumer = AIOKafkaConsumer(**client_options(kafka.settings("operator")), auto_offset_reset="earliest")
    consumer.assign([TopicPartition(topic, partition) for partition in range(12)])
    async with consumer:
        record = await asyncio.wait_for(consumer.getone(), 20)
    reason: bytes = dict(record.headers)["reason"]
    return reason
