"""`ticketsync dlq`: records that a service could not apply: list them, look at one, redrive them, discard them.

The services keep them with their bytes and do the work; commands name places and never hand over bytes. What is
redriven or discarded is exactly what was listed for it. Lists never hold what a record says.
"""

import asyncio
import base64
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.confirm import confirm
from ops.dead_letters import Settling, found_in, places_in, settled, standing_at
from ops.exits import Finding, WrongInput
from ops.given import moment
from ops.given import place as place_of
from ops.heard import Heard
from ops.json_stream import JsonStream
from ops.options import By, DataDir, Json, Yes
from ops.replay import ServiceName
from ops.service_api import Parameters
from ops.who import asks
from schemas import undecodable

# Outcomes after which a person has still something to do.
OPEN = {"still_dead"}
SHOWN_MAX = 1_000

commands = typer.Typer(help="Records that could not be applied: list, show, redrive, discard.", no_args_is_help=True)

OfService = Annotated[
    ServiceName | None, typer.Option("--service", help="Only those of this service.", show_default=False)
]
OfTopic = Annotated[str | None, typer.Option("--topic", help="Only records of this topic.", show_default=False)]
Reason = Annotated[
    undecodable.Reason | None,
    typer.Option(
        "--reason",
        metavar="WORD",
        help="Only those with this reason, such as schema_invalid, as the list shows it.",
        show_default=False,
    ),
]
Since = Annotated[
    str | None,
    typer.Option(
        "--since", help="Only those that failed since then, such as 2025-01-29T10:30:00Z.", show_default=False
    ),
]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="PARTITION:OFFSET", help="Only the one at this place of --topic.", show_default=False),
]
Everything = Annotated[bool, typer.Option("--all", help="All that are open, where no other condition is given.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Try it, say what would become of them, and change nothing.")]


@commands.command("list", epilog="Example: ticketsync dlq list --service linker --reason schema_invalid")
def list_letters(  # noqa: PLR0913 - an option per condition
    *,
    service: OfService = None,
    topic: OfTopic = None,
    reason: Reason = None,
    since: Since = None,
    at: At = None,
    key: Annotated[
        str | None, typer.Option("--key", help="Only those of this key, as a recording_id is.", show_default=False)
    ] = None,
    settled: Annotated[
        bool, typer.Option("--settled", help="Those that were redriven or discarded, instead of the open ones.")
    ] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many of a service at most.")] = 1_000,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List records that could not be applied, in order of their places."""
    conditions = {**_conditions(topic, reason, since, at), "key": key, "settled": "true" if settled else None}
    heard = Heard()
    found, more = asyncio.run(found_in(resolve(data_dir), heard, service, conditions, limit=limit))
    heard.require_somebody()
    if json:
        items = [{"service": of.value, **one.model_dump(mode="json")} for of, one in found]
        show.as_json({"items": items, "more": more, "unreachable": heard.unreachable})
        heard.require_all()
        return
    show.table(
        ("service", "topic", "place", "reason", "failed at", "error"),
        [
            (
                of.value,
                one.topic,
                f"{one.partition}:{one.offset}",
                one.reason if not settled else f"{one.settled_as} by {one.settled_by or 'unknown'}",
                show.moment(one.failed_at),
                one.error,
            )
            for of, one in found
        ],
        silent=heard.unreachable,
    )
    if more:
        show.more(limit)
    heard.require_all()


@commands.command("show", epilog="Example: ticketsync dlq show linker TicketLinkRequested 3:1200 --value")
def show_letter(
    service: Annotated[ServiceName, typer.Argument(metavar="SERVICE", help="linker, transfer or cloud-updater.")],
    topic: Annotated[str, typer.Argument(metavar="TOPIC", help="The topic that it stood on.")],
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="Where it stood there.")],
    *,
    value: Annotated[
        bool, typer.Option("--value", help="With key, headers and value, which may be confidential.")
    ] = False,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Show why one record could not be applied and, if asked for, what it holds."""
    found = asyncio.run(standing_at(resolve(data_dir), service, topic, place_of(place), content=value))
    if json:
        show.as_json({"items": [one.model_dump(mode="json") for one in found.items]})
        return
    for one in found.items:
        show.pairs(one.model_dump(mode="json", exclude={"content"}))
        if one.content:
            headers = {header.name: _text(header.value) for header in one.content.headers}
            show.pairs({"key": _text(one.content.key), **headers, "value": _text(one.content.value)})


def _settling(what: str) -> Callable[..., None]:
    """The command that does `what`; both select in the same ways."""

    def settle(  # noqa: PLR0913 - an option per condition
        *,
        service: OfService = None,
        topic: OfTopic = None,
        reason: Reason = None,
        since: Since = None,
        at: At = None,
        everything: Everything = False,
        dry_run: DryRun = False,
        yes: Yes = False,
        by: By = None,
        json: Json = False,
        data_dir: DataDir = None,
    ) -> None:
        conditions = _some(_conditions(topic, reason, since, at), service, everything=everything)
        _settle(what, resolve(data_dir), service, conditions, dry_run=dry_run, yes=yes, by=asks(by), json=json)

    return settle


commands.command(
    "redrive",
    help="Let the service apply records again, now that what was wrong is mended; exit 1 if some still cannot be.\n\n"
    "Say which by at least one condition, or --all; --dry-run tells what would become of them.",
    epilog="Example: ticketsync dlq redrive --service linker --reason unstorable --dry-run",
)(_settling("redrive"))
commands.command(
    "discard",
    help="Say of records that they will not be applied; they do not count any more, and are kept with your name.\n\n"
    "Say which by at least one condition, or --all.",
    epilog="Example: ticketsync dlq discard --topic RecordingProcessed --at 3:1200",
)(_settling("discard"))


def _settle(
    what: str,
    addresses: Addresses,
    service: ServiceName | None,
    conditions: Parameters,
    *,
    dry_run: bool,
    yes: bool,
    by: str,
    json: bool,
) -> None:
    heard = Heard()
    found = asyncio.run(places_in(addresses, heard, service, conditions))
    heard.require_all(meanwhile="Nothing was done; --service names those of one service.")
    if found and not dry_run:
        confirm(f"{what.capitalize()} {sum(map(len, found.values())):,} dead letters?", yes=yes, json=json)
    done = asyncio.run(settled(addresses, what, found, dry_run=dry_run, by=by))
    if json:
        stream = JsonStream()
        stream.add("items", (one._asdict() for one in done.items))
        stream.end({"dry_run": dry_run, "ended_early": done.ended_early})
    elif done.items or not done.ended_early:
        show.table(
            ("service", "topic", "place", "outcome", "why"),
            [
                (
                    one.service,
                    one.topic,
                    f"{one.partition}:{one.offset}",
                    one.outcome,
                    ": ".join(filter(None, (one.reason, one.error))),
                )
                for one in done.items[:SHOWN_MAX]
            ],
        )
        if len(done.items) > SHOWN_MAX:
            counts = ", ".join(f"{outcome}: {number:,}" for outcome, number in Counter(_outcomes(done)).items())
            show.note(f"These are the first {SHOWN_MAX:,}; of all: {counts}. Every one: --json")
    if dry_run:
        show.note("A dry run: nothing was changed.")
    done.require_end()
    if dead := sum(outcome in OPEN for outcome in _outcomes(done)):
        raise Finding(f"{dead:,} of {len(done.items):,} still cannot be applied", todo="The reason is shown for each.")
    if not found and "offset" in conditions:
        raise Finding(
            f"no open dead letter stands at {conditions['partition']}:{conditions['offset']}",
            todo="See which do: ticketsync dlq list, and with --settled those that were looked after.",
        )


def _outcomes(done: Settling) -> Iterator[str]:
    return (one.outcome for one in done.items)


def _conditions(
    topic: str | None, reason: undecodable.Reason | None, since: str | None, at: str | None
) -> dict[str, Any]:
    """Those that were given, for the services' APIs."""
    given: dict[str, Any] = {"topic": topic, "reason": reason, "since": moment("--since", since)}
    if at is not None:
        given["partition"], given["offset"] = place_of(at)
    return {name: value for name, value in given.items() if value is not None}


def _some(conditions: dict[str, Any], service: ServiceName | None, *, everything: bool) -> Parameters:
    if not conditions and service is None and not everything:
        raise WrongInput("say which: --service, --topic, --reason, --since, --at or --all")
    if "offset" in conditions and "topic" not in conditions:
        raise WrongInput(
            "--at names a place in one topic, and every topic has such a place: say --topic as well",
            todo="Topic and place of each: ticketsync dlq list",
        )
    return conditions


def _text(encoded: str | None) -> str | None:
    """Bytes as text, as far as they are."""
    return None if encoded is None else base64.b64decode(encoded).decode("utf-8", "replace")
