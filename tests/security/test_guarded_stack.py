"""The pipeline on a Kafka with TLS, passwords and ACLs, and databases with roles: each service may do its own, and
nobody else's.

One broker for all tests here. The services run as processes, at DEBUG, and every secret is a canary that may be found
nowhere but where it belongs.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import httpx
import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.protocol.produce import ProduceRequest

from local.postgres import ensure_databases
from schemas.topics import TOPICS, Topic
from shared.kafka import KafkaSettings, client_options
from tests.emulator.running import TOKEN as CLOUD_TOKEN
from tests.emulator.running import running_emulator
from tests.ops.commands import ticketsync
from tests.pipeline.running import eventually
from tests.security import guarded_services
from tests.security.guarded_kafka import (
    GROUP,
    TOPIC,
    USERS,
    GuardedKafka,
    Right,
    documented_rights,
    password_of,
    running_guarded_kafka,
)
from tests.security.guarded_services import AGENT, API_TOKEN, CUSTOMER, TRANSCRIPT, a_recording
from tests.shared.raw_records import Raw, batch_of

pytestmark = [pytest.mark.stack, pytest.mark.timeout(180)]

SERVICES = ("linker", "transfer", "cloud_updater")
PARTY = {"operators": "operator", "other services": "publisher"}
NOT_LEADER_YET, NOT_ALLOWED = 6, 29


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GuardedKafka]:
    """With the declared topics, made by the operator."""
    with running_guarded_kafka(tmp_path_factory.mktemp("kafka")) as kafka:
        applied = ticketsync(
            "topics", "apply", settings={**kafka.environment("operator"), "KAFKA_REPLICATION_FACTOR": "1"}
        )
        assert applied.code == 0, applied.err
        yield kafka


def test_the_documented_rights_are_those_that_the_topics_declare() -> None:
    declared = {
        Right(PARTY.get(party, party), operation, TOPIC, topic.name)
        for topic in TOPICS
        for operation, parties in (("Write", topic.producers), ("Read", topic.consumers))
        for party in parties
    }
    groups = {Right(service, "Read", GROUP, f"ticketsync.{service}.") for service in SERVICES}
    making = {
        Right("operator", operation, TOPIC, topic.name)
        for topic in TOPICS
        for operation in ("Create", "Describe", "DescribeConfigs", "AlterConfigs")
    }

    assert documented_rights() == declared | groups | making


async def test_everybody_reads_and_writes_what_is_declared_and_nothing_else(kafka: GuardedKafka) -> None:
    allowed: dict[tuple[str, str], set[str]] = {}
    for user in USERS:
        client = AIOKafkaClient(**client_options(kafka.settings(user)))
        await client.bootstrap()
        try:
            node = next(iter(client.cluster.brokers())).nodeId
            allowed[user, "reads"] = {topic.name for topic in TOPICS if await _may_read(client, node, topic)}
            # What it may write is seen below, by the facts that come: here nothing may be written.
            forbidden = [topic for topic in TOPICS if user not in {PARTY.get(one, one) for one in topic.producers}]
            assert [topic.name for topic in forbidden if await _may_write(client, node, topic)] == []
        finally:
            await client.close()

    dead_letters = {"linker.dlq", "transfer.dlq", "cloud_updater.dlq"}
    assert allowed == {
        ("linker", "reads"): {
            "RecordingProcessed", "TicketLinked", "RecordingTransferred", "CloudTicketUpdated", "TicketLinkRequested",
        },
        ("transfer", "reads"): {"RecordingProcessed", "TicketLinked", "RecordingTransferred"},
        ("cloud_updater", "reads"): {
            "TicketLinked", "RecordingTransferred", "CloudTicketUpdated", "TicketSyncRequested",
        },
        ("operator", "reads"): dead_letters,
        ("publisher", "reads"): set(),
    }  # fmt: skip


async def test_nobody_comes_in_without_tls_password_and_the_right_certificate(kafka: GuardedKafka) -> None:
    refused: Mapping[str, KafkaSettings] = {
        "another password": kafka.settings("linker", kafka_sasl_password="guessed"),
        "another user": kafka.settings("stranger"),
        "no password": kafka.settings("linker", kafka_security_protocol="SSL"),
        "no encryption": kafka.settings("linker", kafka_security_protocol="SASL_PLAINTEXT"),
        "a certificate of nobody known": kafka.settings("linker", kafka_ssl_cafile=None),
        "a mechanism that is off": kafka.settings("linker", kafka_sasl_mechanism="PLAIN"),
    }
    said = {}
    for why, settings in refused.items():
        client = AIOKafkaClient(**client_options(settings), request_timeout_ms=3_000)
        try:
            await client.bootstrap()
        except KafkaError as error:
            said[why] = f"{error!r} {settings!r}"
        finally:
            await client.close()

    assert set(said) == set(refused)
    assert "canary" not in str(said)


async def test_each_service_enters_its_own_database_and_no_other(databases: Mapping[str, str]) -> None:
    entered = []
    for service in SERVICES:
        address = urlsplit(databases[service])
        for other in SERVICES:
            name = urlsplit(databases[other]).path
            try:
                connection = await asyncpg.connect(address._replace(scheme="postgresql", path=name).geturl())
            except asyncpg.InsufficientPrivilegeError:
                continue
            await connection.close()
            entered.append((service, other))

    assert entered == [(service, service) for service in SERVICES]


async def test_the_pipeline_does_its_work_with_these_rights_and_tells_nobodys_secrets(
    kafka: GuardedKafka, databases: Mapping[str, str], tmp_path: Path
) -> None:
    with running_emulator() as cloud, ExitStack() as running:
        services = {
            name: running.enter_context(guarded_services.service(name, kafka, databases[name], cloud, tmp_path / name))
            for name in SERVICES
        }
        as_operator = {
            **kafka.environment("operator"),
            "API_TOKEN": API_TOKEN,
            **{f"{name.upper()}_URL": url for name, url in services.items()},
        }
        doctor = await asyncio.to_thread(ticketsync, "doctor", settings=as_operator)
        for route, quoted in (("create", TRANSCRIPT), ("update_ticket", CUSTOMER)):
            cloud.arm(route=route, status=503, body={"message": f"'{quoted}', with {CLOUD_TOKEN}"})

        await guarded_services.publish(
            kafka, "RecordingProcessed", a_recording("R1"), a_recording("R2") | {"token": TRANSCRIPT}
        )
        await asyncio.to_thread(eventually, lambda: cloud.control("GET", "folders")["folders"])
        guarded_services.link(services["linker"], "R1", "T-1")
        await asyncio.to_thread(eventually, lambda: guarded_services.tickets(cloud) == ["T-1"])
        before = len(cloud.effects())
        resync = await asyncio.to_thread(
            ticketsync, "resync", "--folder", "F1", "--force", "--yes", settings=as_operator
        )
        await asyncio.to_thread(eventually, lambda: len(cloud.effects()) > before)
        dead_letters = {
            name: await guarded_services.reason_of_one(kafka, f"{name}.dlq") for name in ("linker", "transfer")
        }
        requests = await guarded_services.request_badly(kafka)
        answers = await asyncio.to_thread(guarded_services.ask_strangely, services["linker"])
        bad = partial(guarded_services.bad_requests, services["linker"])
        await asyncio.to_thread(eventually, lambda: bad() == requests)
        shown = await asyncio.to_thread(guarded_services.shown_to_anybody, services.values())

    logs = {name: (tmp_path / name).read_text() for name in SERVICES}
    secrets = [API_TOKEN, CLOUD_TOKEN, TRANSCRIPT, CUSTOMER, AGENT, "canary"]
    secrets += [password_of(user) for user in SERVICES]
    assert (doctor.code, resync.code) == (0, 0), (doctor.out, resync.err)
    assert answers == [202, 422, 422, 404, 401]
    assert dead_letters == {"linker": b"schema_invalid", "transfer": b"schema_invalid"}
    assert [one for one in secrets if one.lower() in (shown + "".join(logs.values())).lower()] == []
    assert all("started" in log for log in logs.values())
    assert "503: '[...]', with [...]" in logs["transfer"]


def test_a_service_with_anothers_rights_does_nothing_and_names_the_setting(
    kafka: GuardedKafka, databases: Mapping[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "transfer"
    with running_emulator() as cloud:
        wrong = guarded_services.environment("transfer", kafka, databases["transfer"], cloud, user="cloud_updater")
        with guarded_services.started("transfer", wrong, log) as (process, url):
            eventually(lambda: "KAFKA_SASL_USERNAME" in log.read_text())
            ready = httpx.get(f"{url}/readyz", trust_env=False)
            assert process.poll() is None

    assert (ready.status_code, ready.json()["ready"]) == (503, False)
    # Its own topic it may look at, and the database says that all of it has been read.
    assert ready.json()["gates"]["RecordingProcessed and TicketLinked"] == "closed"


def test_a_certificate_that_cannot_be_read_is_named_at_the_start(
    kafka: GuardedKafka, databases: Mapping[str, str], tmp_path: Path
) -> None:
    with running_emulator() as cloud:
        settings = guarded_services.environment("transfer", kafka, databases["transfer"], cloud)
        settings["KAFKA_SSL_CAFILE"] = str(tmp_path / "nothing.pem")
        ended = ticketsync("run", "transfer", "--migrate", settings=settings)

    assert ended.code == 78
    assert "KAFKA_SSL_" in ended.err
    assert "DATABASE" not in ended.err


@pytest.fixture(scope="module")
def databases(postgres_url: str) -> Iterator[Mapping[str, str]]:
    """By service: the URL of its own database, with its own role."""
    suffix = uuid4().hex[:8]
    passwords = {f"{service}_{suffix}": f"canary_password_{service}" for service in SERVICES}
    asyncio.run(ensure_databases(postgres_url, passwords))
    address = urlsplit(postgres_url).netloc.rpartition("@")[2]
    yield {
        service: f"postgresql+asyncpg://{name}:{password}@{address}/{name}"
        for service, (name, password) in zip(SERVICES, passwords.items(), strict=True)
    }
    asyncio.run(guarded_services.drop(postgres_url, list(passwords)))


async def _may_read(client: AIOKafkaClient, node: int, topic: Topic) -> bool:
    request = FetchRequest(0, 0, 1_000, 0, [(topic.name, [(0, 0, 1_000)])])
    answer = await client.send(node, request)
    [(_, [(_, code, *_)])] = answer.topics
    # Right after topics were made a broker may say that it does not lead them yet: to those who may ask.
    assert code in {0, NOT_LEADER_YET, NOT_ALLOWED}, code
    return bool(code != NOT_ALLOWED)


async def _may_write(client: AIOKafkaClient, node: int, topic: Topic) -> bool:
    request = ProduceRequest(None, -1, 5_000, [(topic.name, [(0, batch_of([Raw(b"k", b"{}")]))])])
    answer = await client.send(node, request)
    [(_, [(_, code, *_)])] = answer.topics
    assert code in {0, NOT_LEADER_YET, NOT_ALLOWED}, code
    return bool(code != NOT_ALLOWED)
