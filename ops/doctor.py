"""`ticketsync doctor`: looks at every part of the system and says what is wrong and what to do about it.

Each part is looked at by itself, so one that is down hides nothing of the others. The exit code is that of the gravest
finding: a missing setting, else an unreachable server, else anything else that needs a look.
"""

import asyncio
import shutil
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

import typer
from aiokafka.errors import KafkaError

from ops import show
from ops.addresses import SERVICES, SETTING_OF_KEY, Addresses, Service, resolve
from ops.answers.about import About
from ops.checks import Check, finding, gravest, of_kafka, of_readiness, of_service, of_topic_sizes, of_versions
from ops.exits import Misconfigured, Stop
from ops.kafka_access import kafka_answers
from ops.options import DataDir, Json
from ops.overview import services
from ops.service_api import ASK_DOCTOR, api
from schemas.topics import TOPICS
from shared import topics
from shared.kafka_itself import kafka_itself
from shared.topic_sizes import topic_sizes

DISK_FREE_MIN = 0.1

Told = TypeVar("Told")


def doctor(*, json: Json = False, data_dir: DataDir = None) -> None:
    """Look at Kafka, its topics, the databases, the services, their clocks and versions, and the way to the cloud."""
    addresses = resolve(data_dir)
    checks = asyncio.run(_look(addresses))
    if json:
        show.as_json({"ok": all(one.ok for one in checks), "checks": [asdict(one) for one in checks]})
    else:
        show.table(("part", "ok", "found", "what to do"), [(one.name, one.ok, one.found, one.todo) for one in checks])
    raise typer.Exit(gravest(checks))


async def _look(addresses: Addresses) -> list[Check]:
    """All at once: who looks because something hangs need not wait for one after the other."""
    abouts: dict[Service, About] = {}
    looks = {
        "kafka": partial(_kafka, addresses),
        "kafka topics": partial(_topics, addresses),
        "kafka disk": partial(_topic_sizes, addresses),
        **{one.replace("_", "-"): partial(_service, addresses, one) for one in SERVICES},
        "recordings": partial(_recordings, addresses),
    }
    (*parts, recordings), kafka, told = await asyncio.gather(
        asyncio.gather(*(_checked(name, look) for name, look in looks.items())),
        _kafka_itself(addresses),
        asyncio.gather(*(_about(addresses, one, abouts) for one in SERVICES)),
    )
    return [
        *parts,
        *kafka,
        *(check for of_service in told for check in of_service),
        *([of_versions(abouts, own=version("ticketsync"))] if abouts else []),
        *([_disk(addresses.data_dir)] if addresses.data_dir else []),
        recordings,
    ]


async def _checked(name: str, look: Callable[[], Awaitable[Check]]) -> Check:
    try:
        return await look()
    except Stop as stop:
        # Whoever reads this has asked the doctor already.
        return _failed(name, stop, todo="Is it running, and is its address right?" if stop.todo == ASK_DOCTOR else None)


def _failed(name: str, stop: Stop, *, todo: str | None = None) -> Check:
    return Check(name, ok=False, found=stop.message, todo=stop.todo if todo is None else todo, code=stop.code)


async def _about(addresses: Addresses, service: Service, abouts: dict[Service, About]) -> list[Check]:
    """What a service says of itself, also kept in `abouts`. If it does not, nobody knows of its database, clock and
    token: no command looks into what belongs to a service.
    """
    name = service.replace("_", "-")
    try:
        async with api(addresses, service) as asked:
            before = datetime.now(UTC)
            try:
                about = await asked.get("/about", About)
            except Misconfigured as stop:
                # Nothing else that is looked at needs the token, except what needs all services.
                return [_failed(f"{name} API token", stop)]
            after = datetime.now(UTC)
    except Stop as stop:
        setting = SETTING_OF_KEY[f"{service}_database_url"]
        todo = (
            f"Its last log line says what keeps {name} from answering. Where {setting} is set, ticketsync migrate "
            f"{name} says whether its database answers, and brings its tables up to date."
        )
        return [_failed(f"{name} database", stop, todo=todo)]
    abouts[service] = about
    return of_service(service, about, before=before, after=after)


async def _kafka(addresses: Addresses) -> Check:
    kafka = addresses.kafka()
    with kafka_answers(kafka):
        found = await topics.cluster(kafka)
    if found.brokers < 3:  # noqa: PLR2004 - two can lose a majority of their own
        alone = "a single copy of everything" if found.brokers == 1 else "no majority if one is lost"
        return Check("kafka", ok=True, found=f"cluster {found.cluster_id}, brokers: {found.brokers} ({alone})")
    return Check("kafka", ok=True, found=f"cluster {found.cluster_id}, brokers: {found.brokers}")


async def _kafka_itself(addresses: Addresses) -> list[Check]:
    """Its release and its clock; that it cannot be reached is told elsewhere."""
    before = datetime.now(UTC)
    try:
        kafka = addresses.kafka()
        with kafka_answers(kafka):
            itself = await _if_told(kafka_itself(kafka))
    except Stop:
        return []
    if isinstance(itself, str):
        return [Check("kafka version", ok=True, found=f"not looked at: {itself}")]
    return of_kafka(itself.metadata_level, itself.now, before=before, after=datetime.now(UTC))


async def _if_told(asked: Awaitable[Told]) -> Told | str:
    """The answer, or why Kafka gives none: an operator's user may have no right to ask, which is no fault of anyone."""
    try:
        return await asked
    except NotImplementedError:
        return "Kafka is of a release that cannot be asked"
    except KafkaError as error:
        if error.retriable:
            raise
        return f"Kafka refuses to tell ({type(error).__name__})"


async def _topics(addresses: Addresses) -> Check:
    kafka = addresses.kafka()
    with kafka_answers(kafka):
        findings = await topics.check(kafka)
    if findings:
        return finding("kafka topics", "; ".join(findings), "ticketsync topics apply")
    return Check("kafka topics", ok=True, found="as declared")


async def _topic_sizes(addresses: Addresses) -> Check:
    kafka = addresses.kafka()
    with kafka_answers(kafka):
        sizes = await _if_told(topic_sizes(kafka, [topic.name for topic in TOPICS]))
    return (
        Check("kafka disk", ok=True, found=f"not looked at: {sizes}")
        if isinstance(sizes, str)
        else of_topic_sizes(sizes)
    )


def _disk(data_dir: Path) -> Check:
    used = 0
    for file in data_dir.rglob("*"):
        with suppress(FileNotFoundError):  # Kafka and PostgreSQL delete files at any time
            used += file.lstat().st_size
    whole = shutil.disk_usage(data_dir)
    found = f"{show.size(used)} in {data_dir}; {show.size(whole.free)} of {show.size(whole.total)} free"
    if whole.free < whole.total * DISK_FREE_MIN:
        return finding("disk", found, "Make room: a full disk stops Kafka and PostgreSQL.")
    return Check("disk", ok=True, found=found)


async def _service(addresses: Addresses, service: Service) -> Check:
    async with api(addresses, service) as asked:
        state = await asked.readiness()
    return of_readiness(asked.service, state)


async def _recordings(addresses: Addresses) -> Check:
    async with services(addresses) as asked:
        overview = (await asked.whole()).as_json()
    wrong = {
        **{reason: number for reason, number in overview["blocked"].items() if number},
        **({"dead letters": overview["dead_letters"]} if overview["dead_letters"] else {}),
    }
    if wrong:
        found = ", ".join(f"{reason}: {number:,}" for reason, number in wrong.items())
        return finding(
            "recordings",
            found,
            "Which and why: ticketsync recordings --blocked any; dead letters: ticketsync dlq list",
        )
    return Check("recordings", ok=True, found=f"{overview['recordings']:,}, none blocked")
