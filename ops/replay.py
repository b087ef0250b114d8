"""`ticketsync replay`: a service reads old records of one topic once more, while it goes on with all else.

The service does it and counts; this command asks for it and watches. Whoever stops watching stops nothing. A replay
changes nothing that is known already, publishes nothing, and sends nothing for what is in sync.
"""

import asyncio
from enum import StrEnum
from typing import Annotated, Any

import typer

from ops import show
from ops.addresses import Addresses, Service, resolve
from ops.answers.replays import Replay, ReplayPlan, Replays
from ops.confirm import confirm
from ops.exits import Finding, Unreachable, WrongInput
from ops.given import moment, places
from ops.options import By, DataDir, Json, Yes
from ops.patience import Patience
from ops.service_api import Refused, ServiceApi, api
from ops.who import asks

BEAT_S = 0.2
COUNTED = ("read", "newer", "unchanged", "bad", "empty")
GOES_ON = "If it has begun, the replay goes on by itself; the service shows how far it is under GET /replays."


class ServiceName(StrEnum):
    """A service, as commands call it."""

    LINKER = "linker"
    TRANSFER = "transfer"
    CLOUD_UPDATER = "cloud-updater"

    @property
    def key(self) -> Service:
        """The same as addresses name it."""
        keys: dict[ServiceName, Service] = {
            ServiceName.LINKER: "linker",
            ServiceName.TRANSFER: "transfer",
            ServiceName.CLOUD_UPDATER: "cloud_updater",
        }
        return keys[self]


def replay(  # noqa: PLR0913 - there are several places to begin at
    service: Annotated[ServiceName, typer.Argument(metavar="SERVICE", help="linker, transfer or cloud-updater.")],
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="A topic that the service reads.")],
    *,
    since: Annotated[
        str | None,
        typer.Option("--since", help="Records not older than this, such as 2025-01-29T10:30:00Z.", show_default=False),
    ] = None,
    given_places: Annotated[
        list[str] | None,
        typer.Option(
            "--from", metavar="PARTITION:OFFSET", help="Only this partition; may be repeated.", show_default=False
        ),
    ] = None,
    from_start: Annotated[bool, typer.Option("--from-start", help="Every record that Kafka still has.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what it would read, and change nothing.")] = False,
    yes: Yes = False,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Let a service read old records of a topic once more, and wait until it has.

    Name one of --since, --from and --from-start. Nothing is published, and nothing is sent for what is in sync.
    """
    if (since is not None) + bool(given_places) + from_start != 1:
        raise WrongInput("name exactly one of --since T, --from PARTITION:OFFSET and --from-start")
    body: dict[str, Any] = {"topic": topic}
    if since is not None:
        body["since"] = moment("--since", since)
    elif given_places:
        body["offsets"] = places(given_places)
    else:
        body["from_start"] = True
    addresses = resolve(data_dir)
    planned = asyncio.run(_ask(addresses, service, body, dry_run=True))
    if dry_run:
        if json:
            show.as_json(_as_json(planned, None, dry_run=True))
        else:
            _show_plan(planned)
        show.note("A dry run: nothing was changed.")
        return
    if planned.records:
        if not json:
            _show_plan(planned)
        question = f"Let {service} read up to {planned.records:,} records of {topic} again?"
        confirm(question, yes=yes, json=json)
        try:
            done = asyncio.run(_replay(addresses, service, planned, body, by=asks(by)))
        except KeyboardInterrupt:
            show.note(GOES_ON)
            raise
    else:
        done = asyncio.run(_refused_while_one_runs(addresses, service, topic))
    _show(planned, done, json=json)


async def _ask(addresses: Addresses, service: ServiceName, body: dict[str, Any], *, dry_run: bool) -> ReplayPlan:
    async with api(addresses, service.key) as asked:
        return await _post(asked, body, dry_run=dry_run)


async def _post(asked: ServiceApi, body: dict[str, Any], *, dry_run: bool) -> ReplayPlan:
    try:
        return await asked.call("POST", "/replays", ReplayPlan, json={**body, "dry_run": dry_run})
    except Refused as refused:
        if refused.status == 404:  # noqa: PLR2004 - HTTP's own number
            told = str(refused.problem.get("detail", ""))
            raise WrongInput(f"{asked.service} does not read {body['topic']}", todo=told) from None
        raise


async def _refused_while_one_runs(addresses: Addresses, service: ServiceName, topic: str) -> None:
    """A replay that has just begun leaves nothing for another one to go back to. Raises Finding."""
    async with api(addresses, service.key) as asked:
        running = [one for one in (await asked.get("/replays", Replays)).items if one.topic == topic and one.left]
    if running:
        raise Finding(f"{service}: a replay of {topic} is not over yet: {running[0].left:,} offsets are left")


async def _replay(
    addresses: Addresses, service: ServiceName, planned: ReplayPlan, body: dict[str, Any], *, by: str
) -> Replay | None:
    """Begin, and watch until it is over. None: there was nothing to read any more."""
    async with api(addresses, service.key, by=by) as asked:
        begun = await _begun(asked, planned, body)
        if not begun.records:
            return None
        return await _watched(asked, begun)


async def _begun(asked: ServiceApi, planned: ReplayPlan, body: dict[str, Any]) -> ReplayPlan:
    """Asked again if the service was started again meanwhile, which may have begun it by then, or not.

    Harmless: as long as it runs a second one is refused, which says that it has begun, and once it is over the same
    records are only read once more.
    """
    patience = Patience()
    silent = False
    while True:
        try:
            return await _post(asked, body, dry_run=False)
        except Unreachable as error:
            patience.bear(error, todo=GOES_ON)
            silent = True
        except Refused as refused:
            if silent and refused.status == 409:  # noqa: PLR2004 - HTTP's own number
                return planned
            raise
        await asyncio.sleep(BEAT_S)


async def _watched(asked: ServiceApi, begun: ReplayPlan) -> Replay:
    """A service that is started again goes on, so it is given time. Raises Unreachable if that is over."""
    patience = Patience()
    with show.progress() as bar:
        task = bar.add_task("offsets read", total=begun.records)
        while True:
            try:
                answer = await asked.get("/replays", Replays)
                stopped = (await asked.readiness()).stopped
            except Unreachable as error:
                patience.bear(error, todo=GOES_ON)
            else:
                patience.heard()
                [now] = [one for one in answer.items if one.topic == begun.topic]
                bar.update(task, total=now.to_read, completed=now.to_read - now.left)
                if now.left == 0:
                    return now
                if why := [one for one in stopped if one.startswith(f"{begun.topic} ")]:
                    raise Finding(f"the replay does not get on: {why[0]}")
            await asyncio.sleep(BEAT_S)


def _show_plan(planned: ReplayPlan) -> None:
    show.table(
        ("partition", "from offset", "until", "records at most"),
        [
            (one.partition, one.from_offset, one.until_offset, one.until_offset - one.from_offset)
            for one in planned.partitions
        ],
        title=f"{planned.topic}: {planned.records:,} records at most",
    )


def _show(planned: ReplayPlan, done: Replay | None, *, json: bool) -> None:
    counts = _counts(done)
    if json:
        show.as_json(_as_json(planned, counts, dry_run=False))
    else:
        topic = planned.topic
        show.pairs(counts, title=f"{topic} is read" if done else f"There is nothing of {topic} to read again")
    if counts["bad"]:
        raise Finding(f"{counts['bad']:,} records cannot be applied", todo="Look at them: ticketsync dlq list")


def _counts(done: Replay | None) -> dict[str, int]:
    return {name: getattr(done, name, 0) for name in COUNTED}


def _as_json(planned: ReplayPlan, counts: dict[str, int] | None, *, dry_run: bool) -> dict[str, Any]:
    """The plan and what became of it, which is null in a dry run."""
    return {"dry_run": dry_run, **planned.model_dump(), **(counts or dict.fromkeys(COUNTED))}
