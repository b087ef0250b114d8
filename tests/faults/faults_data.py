"""Faults of what is stored: in the databases, on the topics, in the cloud. Each returns how often it was seen."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from tests.faults.run import Run, until
from tests.faults.watch import AWAY

OWN = {"linker": "TicketLinked", "transfer": "RecordingTransferred", "cloud_updater": "CloudTicketUpdated"}
DONE_ITSELF = {
    "linker": "select recording_id as what, link_version as stands from link",
    "transfer": "select recording_id as what, transfer_version as stands from transfer",
    "cloud_updater": "select clouds_uuid as what, cursor as stands from ledger",
}
# What a service's database alone knows at work: what must not be asked for meanwhile, and what of it must be over, one
# behind the other.
KNOWN_ALONE: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "linker": (
        ("link", "bring"),
        ("select import_id from import where finished_at is null", "select recording_id from unheard_link"),
    ),
    "transfer": (
        ("record",),
        ("select folder_id from upload_request", "select recording_id from unheard_transfer"),
    ),
    "cloud_updater": ((), ("select recording_id from duty",)),
}
OLDER_S = 3.0
CLOUD = "/api/external/v1/recording"


def lost(service: str) -> Callable[[Run], Awaitable[int]]:
    """The database is dropped under the running processes; an empty one takes its place."""

    async def lose(run: Run) -> int:
        async with run.calm():
            await _replace(
                run, service, [f"drop database {service} with (force)", f"create database {service} owner {service}"]
            )
        return 1

    return lose


def set_back(service: str) -> Callable[[Run], Awaitable[int]]:
    """A copy from a few seconds ago takes the database's place under the running processes; rows are lower by that."""

    async def set_back(run: Run) -> int:
        await _copy(run, service)
        async with run.calm():
            lower = await _lower(run, service)
            await _replace(
                run,
                service,
                [f"drop database {service} with (force)", f"alter database {service}_copy rename to {service}"],
            )
        return lower

    return set_back


async def _copy(run: Run, service: str) -> None:
    """One that does not know everything that the service has done since."""
    await run.site.sql(
        "postgres",
        f"alter database {service} allow_connections false",
        f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{service}'",
        "select pg_sleep(0.3)",
        f"create database {service}_copy template {service} owner {service}",
        f"alter database {service} allow_connections true",
    )
    await asyncio.sleep(OLDER_S)
    await until(lambda: _lower(run, service), f"{service} does something that its copy does not know")


async def _lower(run: Run, service: str) -> int:
    """How many rows of what the service has done itself are lower in its copy, or not there yet."""
    copy, present = [
        {row["what"]: row["stands"] for row in await run.site.sql(database, DONE_ITSELF[service])}
        for database in (f"{service}_copy", service)
    ]
    return sum(copy.get(what, 0) < stands for what, stands in present.items())


def lost_at_work(service: str) -> Callable[[Run], Awaitable[int]]:
    """The same in the middle of work, but for what this database alone would know."""

    async def lose(run: Run) -> int:
        async with _all_else_goes_on(run, service):
            await run.site.sql(
                "postgres", f"drop database {service} with (force)", f"create database {service} owner {service}"
            )
        return 1

    return lose


def set_back_at_work(service: str) -> Callable[[Run], Awaitable[int]]:
    """The same in the middle of work, but for what this database alone would know."""

    async def set_back(run: Run) -> int:
        await _copy(run, service)
        async with _all_else_goes_on(run, service):
            lower = await _lower(run, service)
            await run.site.sql(
                "postgres",
                f"drop database {service} with (force)",
                f"alter database {service}_copy rename to {service}",
            )
        return lower

    return set_back


@asynccontextmanager
async def _all_else_goes_on(run: Run, service: str) -> AsyncIterator[None]:
    """While the database is replaced, and until the service is at work on the other."""
    acts, questions = KNOWN_ALONE[service]
    async with run.load.without(*acts):
        if service == "transfer":
            await until(lambda: _all_transferred(run), "every recording is in the cloud")
        for question in questions:
            await until(await _over(run, service, question), f"{service} knows nothing alone")
        before = await _identity(run, service)
        run.watch.versions_lost = run.watch.versions_lost or service == "linker"
        run.load.without_tables = True
        yield
        await run.site.sql("postgres", f"revoke all on database {service} from public")
        await until(lambda: _is_another(run, service, before), f"{service} on another database")
        await until(lambda: _acts(run, service), f"{service} has read its own facts back")
        run.load.without_tables = False


async def _all_transferred(run: Run) -> bool:
    there = {row["recording_id"] for row in await run.site.sql("transfer", "select recording_id from transfer")}
    return run.load.books.recordings.keys() <= there


async def _over(run: Run, service: str, question: str) -> Callable[[], Awaitable[bool]]:
    """Whether each of those that are found now was gone once; others may have come."""
    left = {row[0] for row in await run.site.sql(service, question)}

    async def over() -> bool:
        left.intersection_update({row[0] for row in await run.site.sql(service, question)})
        return not left

    return over


async def _acts(run: Run, service: str) -> bool:
    gates = []
    for one in run.site.copies_of(service):
        try:
            gates.append((await run.site.http.get(f"{one.url}/readyz", timeout=3)).json()["gate"])
        except (httpx.HTTPError, KeyError, ValueError):
            return False
    return set(gates) == {"open"}


async def _replace(run: Run, service: str, statements: Sequence[str]) -> None:
    """To be done in calm, because what only this database knew is lost with it. Nothing is sent to the cloud for it."""
    before, effects = await _identity(run, service), len(run.watch.effects)
    run.watch.versions_lost = run.watch.versions_lost or service == "linker"
    run.load.without_tables = True
    await run.site.sql("postgres", *statements)
    await run.site.sql("postgres", f"revoke all on database {service} from public")
    await until(lambda: _is_another(run, service, before), f"{service} on another database")
    await run.settle()
    run.load.without_tables = False
    nothing_was_sent(run, effects, f"{service}'s database was replaced")


async def _identity(run: Run, service: str) -> int:
    [row] = await run.site.sql("postgres", f"select oid from pg_database where datname = '{service}'")
    return int(row["oid"])


async def _is_another(run: Run, service: str, before: int) -> bool:
    """The services are at work on it: there are positions."""
    try:
        return await _identity(run, service) != before and bool(await run.site.sql(service, "select from position"))
    except AWAY:
        return False


def nothing_was_sent(run: Run, effects: int, when: str) -> None:
    for effect in run.watch.effects[effects:]:
        run.broken.append(f"{when}, and {effect['kind']} was sent to {effect['uuid']}")


async def positions_back(run: Run) -> int:
    """Every service reads every topic again from the start; nothing is sent for it."""
    async with run.calm():
        effects, found = len(run.watch.effects), 0
        for service in OWN:
            rows = await run.site.sql(service, "update position set next_offset = 0 where next_offset > 0 returning 1")
            found += len(rows)
        await run.settle()
        nothing_was_sent(run, effects, "all topics were read again")
    return found


def needless(what: str) -> Callable[[Run], Awaitable[int]]:
    """Duplicates and older facts come with the load, and count once linker has read them and knows the newer one."""

    async def said(run: Run) -> int:
        async def came_to_nothing() -> int:
            rows = await run.site.sql("linker", "select topic, partition, next_offset from position")
            stands = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
            known = {
                "RecordingProcessed": "select recording_id, revision as newest from recording",
                "TicketLinkRequested": "select recording_id, last_requested_at as newest from link",
            }
            newest = {
                (topic, row["recording_id"]): row["newest"]
                for topic, question in known.items()
                for row in await run.site.sql("linker", question)
            }
            return sum(
                stands.get((one.topic, one.place[0]), 0) > one.place[1]
                and (one.older is None or _is_newer(newest.get((one.topic, one.recording_id)), one.older))
                for one in run.load.books.needless[what]
            )

        return await until(came_to_nothing, what)

    return said


def _is_newer(found: Any, older: Any) -> bool:  # noqa: ANN401  # revisions or times, two of a kind
    return found is not None and bool(found > older)


async def tickets_wiped(run: Run) -> int:
    """The cloud loses every ticket, and an operator has all of them pushed again."""
    async with run.calm():
        effects = 0
        for folder in (await run.site.cloud("GET", "/folders"))["folders"]:
            files = [
                {
                    "filename": one["filename"],
                    "size": one["size"],
                    "token": one["token"],
                    "transcribe": "wiped",
                    "ticket_info": None,
                }
                for one in folder["files"]
            ]
            await _in_the_cloud(run, "POST", f"/update-ticket/{quote(folder['uuid'], safe='')}", {"files": files})
        await run.watch.read_effects()
        effects = len(run.watch.effects)
        await _resync_all(run)
        await run.settle()
        return sum(one["kind"] == "update_ticket" for one in run.watch.effects[effects:])


async def _resync_all(run: Run) -> None:
    said = {"request_id": str(uuid4()), "requested_at": datetime.now(UTC).isoformat(), "requested_by": "operator"}
    await run.load.publish(
        "TicketSyncRequested",
        said["request_id"].encode(),
        json.dumps({**said, "all": True, "force": True}).encode(),
        note=False,
    )


async def folder_lost(run: Run) -> int:
    """Somebody deletes a folder in the cloud; an operator has it uploaded again."""
    folders = (await run.site.cloud("GET", "/folders"))["folders"]
    folder = run.chance.choice(folders)
    await _in_the_cloud(run, "DELETE", f"/{quote(folder['uuid'], safe='')}", None)

    async def asked() -> bool:
        answer = await run.load.ask_service(
            "transfer", "POST", f"/folders/{folder['folder']}/upload-again", json={"clouds_uuid": folder["uuid"]}
        )
        return answer is not None and answer.is_success

    await until(asked, "the folder is to be uploaded again")

    async def there() -> bool:
        present = (await run.site.cloud("GET", "/folders"))["folders"]
        return any(one["folder"] == folder["folder"] and one["uuid"] != folder["uuid"] for one in present)

    await until(there, "the folder is uploaded again")
    return 1


async def _in_the_cloud(run: Run, method: str, path: str, body: object) -> None:
    """Somebody in the cloud application."""
    url, token = run.site.settings["CLOUDS_URL"], run.site.settings["CLOUDS_TOKEN"]
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
    answer: httpx.Response = await run.site.http.request(method, f"{url}{CLOUD}{path}", headers=headers, json=body)
    assert answer.is_success, answer.text
