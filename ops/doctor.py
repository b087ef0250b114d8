"""`ticketsync doctor`: looks at every part of the system and says what is wrong and what to do about it.

Each part is looked at by itself, so one that is down hides nothing of the others. The exit code is that of the gravest
finding: a missing setting, else an unreachable server, else anything else that needs a look.
"""

import asyncio
from collections.abc import Awaitable
from dataclasses import asdict, dataclass

import typer

from ops import show
from ops.addresses import SERVICES, SETTING_OF_KEY, Addresses, Service, resolve
from ops.exits import Exit, Stop
from ops.kafka_access import kafka_answers
from ops.options import DataDir, Json
from ops.overview import services
from ops.service_api import api
from shared import topics

GRAVEST_FIRST = (Exit.CONFIGURATION, Exit.UNREACHABLE, Exit.USAGE, Exit.FINDING)


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `todo` is empty if all is well."""

    name: str
    ok: bool
    found: str
    todo: str = ""
    code: Exit = Exit.OK


def doctor(*, json: Json = False, data_dir: DataDir = None) -> None:
    """Look at Kafka, its topics, the databases, the services and their way to the cloud."""
    addresses = resolve(data_dir)
    checks = [*asyncio.run(_look(addresses)), *(_database(addresses, service) for service in SERVICES)]
    healthy = all(check.ok for check in checks)
    if json:
        show.as_json({"ok": healthy, "checks": [asdict(check) for check in checks]})
    else:
        show.table(("part", "ok", "found", "what to do"), [(one.name, one.ok, one.found, one.todo) for one in checks])
    raise typer.Exit(next((code for code in GRAVEST_FIRST if any(check.code == code for check in checks)), Exit.OK))


async def _look(addresses: Addresses) -> list[Check]:
    return [
        await _checked("kafka topics", _topics(addresses)),
        *[await _checked(one.replace("_", "-"), _service(addresses, one)) for one in SERVICES],
        await _checked("recordings", _recordings(addresses)),
    ]


async def _checked(name: str, look: Awaitable[Check]) -> Check:
    try:
        return await look
    except Stop as stop:
        return Check(name, ok=False, found=stop.message, todo=stop.todo, code=stop.code)


async def _topics(addresses: Addresses) -> Check:
    kafka = addresses.kafka()
    with kafka_answers(kafka):
        findings = await topics.check(kafka)
    if findings:
        return _finding("kafka topics", "; ".join(findings), "ticketsync topics apply")
    return Check("kafka topics", ok=True, found="as declared")


async def _service(addresses: Addresses, service: Service) -> Check:
    async with api(addresses, service) as asked:
        state = await asked.readiness()
    name = asked.service
    if state.stopped:
        todo = "Mend the publisher, or put the records aside; see DEAD_LETTER_LIMIT_PERCENT in docs/settings.md."
        return _finding(name, "; ".join(state.stopped), todo)
    if state.lane and not state.lane.open:
        found = f"the way to the cloud is stopped: {state.lane.reason}, {state.lane.message}"
        if state.lane.reason == "paused":
            return _finding(name, found, f"ticketsync resume {name}")
        return _finding(name, found, "It goes on by itself when the cloud answers; are CLOUDS_URL and token right?")
    if not state.ready:
        found = "reads its own facts back" if state.gate == "closed" else "does not fold its topics"
        return _finding(name, f"not ready: {found}", f"If it stays so, look into the log of {name}.")
    return Check(name, ok=True, found="ready")


async def _recordings(addresses: Addresses) -> Check:
    async with services(addresses) as asked:
        overview = (await asked.overview()).as_json()
    wrong = {
        **{reason: number for reason, number in overview["blocked"].items() if number},
        **({"dead letters": overview["dead_letters"]} if overview["dead_letters"] else {}),
    }
    if wrong:
        found = ", ".join(f"{reason}: {number:,}" for reason, number in wrong.items())
        return _finding(
            "recordings",
            found,
            "Which and why: ticketsync status; dead letters: the topics linker.dlq, transfer.dlq, cloud_updater.dlq",
        )
    return Check("recordings", ok=True, found=f"{overview['recordings']:,}, none blocked")


def _database(addresses: Addresses, service: Service) -> Check:
    from ops.databases import require_current  # noqa: PLC0415 - see there

    name = f"{service.replace('_', '-')} database"
    if f"{service}_database_url" not in addresses.values:
        # Only the service itself needs it; an operator elsewhere has no business there.
        return Check(name, ok=True, found=f"not looked at: {SETTING_OF_KEY[f'{service}_database_url']} is not set here")
    try:
        require_current(service, addresses.database_url(service))
    except Stop as stop:
        return Check(name, ok=False, found=stop.message, todo=stop.todo, code=stop.code)
    return Check(name, ok=True, found="up to date")


def _finding(name: str, found: str, todo: str) -> Check:
    return Check(name, ok=False, found=found, todo=todo, code=Exit.FINDING)
