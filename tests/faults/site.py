"""A site to break: genuine Kafka and PostgreSQL, the cloud emulator, and several processes of each service.

In: a data folder. Out: every process by its name, kept alive by the same supervisor as in `ticketsync up`, and what a
fault needs to get at it. Services reach Kafka through a proxy; whoever looks on from here goes to the broker itself. As
root, PostgreSQL stands on a disk of its own (tmpfs) that can be filled.
"""

import os
import re
import secrets
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import psutil

from local.data_dir import open_data_dir
from local.files import write_json
from local.kafka import kafka_program
from local.ports import held_ports
from local.postgres import SUPERUSER, ensure_databases, postgres_program, postgres_url
from local.processes import find_processes
from local.services import emulator_program, service_program
from local.supervisor import Program, Supervisor
from shared.kafka import plain
from shared.topics import apply as apply_topics
from shared.topics import ends
from tests.faults.kafka_proxy import KafkaProxy

SERVICES = ("linker", "transfer", "cloud_updater")
COPIES = 2
DISK_BYTES = 700_000_000
# Short, so that what has to run out within a run does: a lease outlives a request, a second push any late effect.
CLOUD_TIMEOUT_S, LEASE_S, LATE_S, SECOND_PUSH_S, AGAIN_S = 4.0, 7.0, 6.0, 9.0, 4.0
SETTINGS = {
    "CLOUD_TIMEOUT_S": str(CLOUD_TIMEOUT_S),
    "LEASE_S": str(LEASE_S),
    "SECOND_PUSH_AFTER_S": str(SECOND_PUSH_S),
    "ANNOUNCE_AGAIN_S": str(AGAIN_S),
    "CLOUD_PING_EVERY_S": "3",
}
_REPOSITORY = Path(__file__).parents[2]


@dataclass(eq=False)
class Copy:
    """One process of a service: how it is found, asked, and told to fail (see process.py)."""

    service: str
    number: int
    port: int
    program: Program
    orders: Path

    @property
    def name(self) -> str:
        return f"{self.service}.{self.number}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def process(self) -> psutil.Process | None:
        """As it runs now; None while it is being started again."""
        found = find_processes(self.program.mark.arguments)
        return found[0] if found else None

    def seen(self) -> list[str]:
        """The orders that it carried out."""
        file = self.orders.with_name(f"{self.orders.name}.seen")
        return file.read_text().splitlines() if file.exists() else []


@contextmanager
def told(kind: str, point: str, copies: Sequence[Copy], *, number: int = 1) -> Iterator[None]:
    """While the block runs, the first of these copies that comes to the point for the n-th time does it, and no other.

    Whoever takes the file `once` away has the order: a copy that carries it out, or else the end of the block. What was
    told outlives a process that is killed: the next of that name reads it.
    """
    once = copies[0].orders.with_name(f"{uuid4().hex}.once")
    once.touch()
    for one in copies:
        one.orders.write_text(f"{kind} {point} {number} {once}")
    try:
        yield
    finally:
        once.unlink(missing_ok=True)
        for one in copies:
            one.orders.unlink(missing_ok=True)


@dataclass(eq=False)
class Site:
    """Everything that runs. `disk`: where PostgreSQL's data is, if it can be filled."""

    folder: Path
    ports: Mapping[str, int]
    passwords: Mapping[str, str]
    settings: Mapping[str, str]
    kafka: Program
    postgres: Program
    emulator: Program
    proxy: KafkaProxy
    disk: Path | None
    copies: list[Copy]
    said: list[str]
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=10, trust_env=False))

    partitions = 12

    def ended(self, name: str, how: str) -> int:
        """How often the supervisor has seen a process end so."""
        return self.ends[name, how]

    @property
    def ends(self) -> Counter[tuple[str, str]]:
        """How often each process has ended in which way, by its name; "stuck": the supervisor had to end it."""
        found = (re.match(r"(\S+) (?:ended \((.+?)\)|says that it is (stuck))", line) for line in self.said)
        return Counter((one[1], one[2] or one[3]) for one in found if one)

    @property
    def broker(self) -> str:
        """Kafka itself, around the proxy."""
        return f"127.0.0.1:{self.ports['kafka']}"

    def copies_of(self, service: str) -> list[Copy]:
        return [one for one in self.copies if one.service == service]

    def server(self, which: Program) -> psutil.Process | None:
        """Kafka's or PostgreSQL's process as it runs now."""
        found = find_processes(which.mark.arguments)
        return min(found, key=lambda one: one.pid) if found else None

    async def cloud(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401  # JSON
        """A request to the emulator's own routes."""
        url = f"{self.settings['CLOUDS_URL']}/emulator{path}"
        authorization = {"Authorization": f"Bearer {self.settings['CLOUDS_TOKEN']}"}
        answer = await self.http.request(method, url, headers=authorization, **options)
        answer.raise_for_status()
        return answer.json()

    async def sql(self, database: str, *statements: str) -> list[asyncpg.Record]:
        """Run statements as the database's superuser; the rows of the last."""
        url = postgres_url(self.ports["postgres"], SUPERUSER, self.passwords[SUPERUSER])
        connection = await asyncpg.connect(f"{url.rpartition('/')[0]}/{database}", timeout=10)
        try:
            rows: list[asyncpg.Record] = []
            for statement in statements:
                rows = await connection.fetch(statement)
            return rows
        finally:
            await connection.close(timeout=5)

    def log_of(self, name: str) -> str:
        """Everything that a process has written."""
        return (self.folder / "logs" / f"{name}.log").read_text(errors="replace")


@asynccontextmanager
async def running_site(data_dir: Path, *, bug: str, say: Callable[[str], None]) -> AsyncIterator[Site]:
    """All of it, ready, while the block runs; nothing is left of it then but its folder. `bug`: see bugs.py."""
    names = ["kafka", "kafka_controller", "kafka_proxied", "kafka_proxy", "postgres", "cloud"]
    names += [f"{service}.{number}" for service in SERVICES for number in range(COPIES)]
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        say(line)

    supervisor = Supervisor(say=hear)
    with ExitStack() as held:
        folder = held.enter_context(open_data_dir(data_dir))
        ports = held.enter_context(held_ports(folder / "ports.json", names, say=say))
        disk = held.enter_context(_disk(folder / "disk"))
        site = _planned(folder, ports, disk, said, bug)
        try:
            await supervisor.start([site.kafka, site.postgres])
            url = postgres_url(ports["postgres"], SUPERUSER, site.passwords[SUPERUSER])
            await ensure_databases(url, {name: site.passwords[name] for name in SERVICES})
            await apply_topics(site.broker)
            await site.proxy.start()
            await supervisor.start([site.emulator, *(one.program for one in site.copies if one.number == 0)])
            await supervisor.start([one.program for one in site.copies if one.number])
            yield site
        finally:
            await supervisor.stop()
            await site.proxy.stop()
            await site.http.aclose()


def _planned(folder: Path, ports: Mapping[str, int], disk: Path | None, said: list[str], bug: str) -> Site:
    passwords = {name: secrets.token_hex(8) for name in (SUPERUSER, *SERVICES)}
    kafka = kafka_program(
        folder / "kafka",
        port=ports["kafka"],
        controller_port=ports["kafka_controller"],
        log=folder / "logs" / "kafka.log",
        say=said.append,
    )
    _let_services_come_by_the_proxy(folder / "kafka" / "server.properties", ports)
    settings = {
        **SETTINGS,
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{ports['kafka_proxy']}",
        "CLOUDS_URL": f"http://127.0.0.1:{ports['cloud']}",
        "CLOUDS_TOKEN": secrets.token_hex(8),
        "API_TOKEN": secrets.token_hex(8),
        **{
            f"{name.upper()}_DATABASE_URL": postgres_url(ports["postgres"], name, passwords[name], driver="+asyncpg")
            for name in SERVICES
        },
    }
    write_json(folder / "settings.json", settings)
    (folder / "orders").mkdir(exist_ok=True)
    return Site(
        folder=folder,
        ports=ports,
        passwords=passwords,
        settings=settings,
        kafka=kafka,
        postgres=postgres_program(
            (disk or folder) / "postgres",
            port=ports["postgres"],
            superuser_password=passwords[SUPERUSER],
            log=folder / "logs" / "postgres.log",
        ),
        emulator=emulator_program(folder, port=ports["cloud"], settings=settings),
        proxy=KafkaProxy(
            ports["kafka_proxy"], ports["kafka_proxied"], partial(ends, plain(f"127.0.0.1:{ports['kafka']}"))
        ),
        disk=disk,
        said=said,
        copies=[
            _copy(folder, ports, settings, service, number, bug) for service in SERVICES for number in range(COPIES)
        ],
    )


def _copy(
    folder: Path, ports: Mapping[str, int], settings: Mapping[str, str], service: str, number: int, bug: str
) -> Copy:
    name = f"{service}.{number}"
    usual = service_program(service.replace("_", "-"), folder, port=ports[name], settings=settings)
    orders = folder / "orders" / name
    arguments = usual.mark.arguments if number else (*usual.mark.arguments, "--migrate")
    program = replace(
        usual,
        mark=replace(usual.mark, name=name),
        command=(sys.executable, "-m", "tests.faults.process", *arguments),
        log=folder / "logs" / f"{name}.log",
        cwd=_REPOSITORY,
        environment={**usual.environment, "FAULT_ORDERS": str(orders), "FAULT_BUG": bug},
    )
    return Copy(service, number, ports[name], program, orders)


def _let_services_come_by_the_proxy(properties: Path, ports: Mapping[str, int]) -> None:
    """A second listener, which tells its clients the proxy's address."""
    own = f"PLAINTEXT://127.0.0.1:{ports['kafka']}"
    text = properties.read_text()
    text = text.replace(f"\nlisteners={own}", f"\nlisteners={own},PROXIED://127.0.0.1:{ports['kafka_proxied']}")
    advertised = f"\nadvertised.listeners={own}"
    text = text.replace(advertised, f"{advertised},PROXIED://127.0.0.1:{ports['kafka_proxy']}")
    properties.write_text(text.replace("PLAINTEXT:PLAINTEXT,", "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,"))


@contextmanager
def _disk(place: Path) -> Iterator[Path | None]:
    """A disk of its own, small enough to be filled; None for who may not mount one."""
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=0755", "tmpfs", str(place)]
    mounted = os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    try:
        yield place if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(place)], check=False)
