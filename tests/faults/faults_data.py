"""Faults of what is stored: in the databases, on the topics, in the cloud. Each returns how often it was seen."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from urllib.parse import quote
from uuid import uuid4

import httpx
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from shared.topics import apply as apply_topics
from tests.faults.run import Run, until
from tests.faults.watch import AWAY

OWN = {"linker": "TicketLinked", "transfer": "RecordingTransferred", "cloud_updater": "CloudTicketUpdated"}
DONE_ITSELF = {
    "linker": "select recording_id as what, link_version as stands from link",
    "transfer": "select recording_id as what, transfer_version as stands from transfer",
    "cloud_updater": "select clouds_uuid as what, cursor as stands from ledger",
}
PARTITIONS = 16
OLDER_S = 3.0
PAGE = 200
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
        async with run.calm():
            lower = await _lower(run, service)
            await _replace(
                run,
                service,
                [f"drop database {service} with (force)", f"alter database {service}_copy rename to {service}"],
            )
        return lower

    return set_back


async def _lower(run: Run, service: str) -> int:
    """How many rows of what the service has done itself are lower in its copy, or not there yet."""
    copy, present = [
        {row["what"]: row["stands"] for row in await run.site.sql(database, DONE_ITSELF[service])}
        for database in (f"{service}_copy", service)
    ]
    return sum(copy.get(what, 0) < stands for what, stands in present.items())


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
    _nothing_was_sent(run, effects, f"{service}'s database was replaced")


async def _identity(run: Run, service: str) -> int:
    [row] = await run.site.sql("postgres", f"select oid from pg_database where datname = '{service}'")
    return int(row["oid"])


async def _is_another(run: Run, service: str, before: int) -> bool:
    """The services are at work on it: there are positions."""
    try:
        return await _identity(run, service) != before and bool(await run.site.sql(service, "select from position"))
    except AWAY:
        return False


def _nothing_was_sent(run: Run, effects: int, when: str) -> None:
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
        _nothing_was_sent(run, effects, "all topics were read again")
    return found


def topic_made_anew(topic: str) -> Callable[[Run], Awaitable[int]]:
    """An own topic is deleted and made anew, when all that it said is known."""

    async def make_anew(run: Run) -> int:
        async with run.calm():
            service = next(name for name, own in OWN.items() if own == topic)
            effects = len(run.watch.effects)
            admin = AIOKafkaAdminClient(bootstrap_servers=run.site.broker)
            await admin.start()
            try:
                await admin.delete_topics([topic])
            finally:
                await admin.close()
            await until(lambda: _applied(run), f"{topic} made anew")
            run.watch.made_anew(topic)

            async def read_from_the_start() -> bool:
                # Partitions that it had more than it has now keep their rows, of which nobody asks any more.
                still = f"topic = '{topic}' and partition < {run.site.partitions} and next_offset > 0"
                return not await run.site.sql(service, f"select from position where {still}")

            await until(read_from_the_start, f"{service} reads {topic} from the start")
            await run.settle()
            _nothing_was_sent(run, effects, f"{topic} was made anew")
        return 1

    return make_anew


async def _applied(run: Run) -> bool:
    try:
        return any(line.endswith("created") for line in await apply_topics(run.site.broker))
    except AWAY:
        return False


def repartitioned(*topics: str) -> Callable[[Run], Awaitable[int]]:
    """More partitions: from now on the same key goes elsewhere, and its older facts stand where they stood."""

    async def repartition(run: Run) -> int:
        before = _spread(run, topics)
        admin = AIOKafkaAdminClient(bootstrap_servers=run.site.broker)
        await admin.start()
        try:
            await admin.create_partitions({topic: NewPartitions(total_count=PARTITIONS) for topic in topics})
        finally:
            await admin.close()

        async def spread() -> int:
            return _spread(run, topics) - before

        return await until(spread, f"keys of {', '.join(topics)} on two partitions")

    return repartition


def _spread(run: Run, topics: Sequence[str]) -> int:
    return sum(len(places) > 1 for (topic, _), places in run.watch.places.items() if topic in topics)


def said(what: str) -> Callable[[Run], Awaitable[int]]:
    """Duplicates and older facts come with the load, and count once Kafka has them; the calm sees them all read."""

    async def say(run: Run) -> int:
        async def said_so_far() -> int:
            return run.load.books.requests[what]

        return await until(said_so_far, what)

    return say


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
