"""`ticketsync resync`: asks cloud_updater to look again at some recordings, and to push what is not in sync.

First a plan, which cloud_updater makes by the very query that carries a resync out; then, with a yes, one or several
TicketSyncRequested, whose progress is shown until the cloud has acknowledged or refused all. With --force everything
selected is pushed, in sync or not. What was asked for goes on if this command is ended: `ticketsync resyncs` shows it
and has it in hand.
"""

import asyncio
import re
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers import State
from ops.answers.resyncs import ResyncPlan, ResyncProgress
from ops.confirm import confirm
from ops.exits import Finding, WrongInput
from ops.options import By, DataDir, Json, Yes
from ops.resync_progress import acknowledged, refused, watched
from ops.resync_selection import Asked, Selected, select, shares_of
from ops.service_api import api
from ops.who import asks
from schemas.events import RESYNC_RATE_MAX

PLANNED_AT_ONCE = 4


def resync(  # noqa: PLR0913 - an option per way to select
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every folder.")] = False,
    folder: Annotated[
        str | None, typer.Option("--folder", help="One folder, by id or by a unique name.", show_default=False)
    ] = None,
    recording: Annotated[
        list[str] | None, typer.Option("--recording", help="A recording_id; may be repeated.", show_default=False)
    ] = None,
    ticket: Annotated[
        str | None, typer.Option("--ticket", help="Recordings that have this ticket.", show_default=False)
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Calls from this time on (RFC 3339).", show_default=False)
    ] = None,
    until: Annotated[
        str | None, typer.Option("--until", help="Calls before this time (RFC 3339).", show_default=False)
    ] = None,
    state: Annotated[
        State | None, typer.Option("--state", help="Recordings in this state.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Push also what is in sync.")] = False,
    rate: Annotated[
        str | None,
        typer.Option(
            "--rate", help="At most so many requests a minute, such as 60/m, each in its turn.", show_default=False
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan and do nothing.")] = False,
    yes: Yes = False,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Show progress until all of it is pushed.")] = True,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Push again what the cloud should know; exit 1 if the cloud refuses some, or a name is unknown.

    Select by --all, by --recording, or by any of --folder, --ticket, --since, --until and --state, which have to be met
    all. The plan is shown first. What was asked for goes on without this command: ticketsync resyncs.
    """
    asked = Asked(everything, folder, recording or [], ticket, since, until, state)
    asked.check()
    common = {"force": force, "rate_per_minute": _per_minute(rate)}
    addresses = resolve(data_dir)
    selected, rates, plan = asyncio.run(_plan(addresses, asked, common))
    if not json:
        show.pairs(_in_words(plan), title="Plan")
    done: list[ResyncProgress] = []
    request_ids: list[str] = []
    total = plan["to_send"] + plan["blocked"]
    if dry_run or not selected.requests or (not total and not yes):
        show.note("A dry run: nothing was changed." if dry_run else "There is nothing to push.")
    else:
        confirm(f"Push {total:,} {'recording' if total == 1 else 'recordings'}?", yes=yes, json=json)
        lots = zip(selected.requests, rates, strict=True)
        request_ids = _ask(
            [{**one, "force": force, "rate_per_minute": rate} for one, rate in lots], addresses, by=asks(by)
        )
        done = watched(addresses, request_ids, total=total) if wait else []
        if not wait:
            show.note("Asked for; how far it is: ticketsync resyncs list")
    if json:
        show.as_json(
            {
                "request_ids": request_ids,
                "dry_run": dry_run,
                "force": force,
                "selection": [_in_short(one) for one in selected.requests],
                "plan": plan,
                "pushed": acknowledged(done) if done else None,
                "refused": refused(done) if done else None,
            }
        )
    if done:
        _tell_end(done, json=json)


def _tell_end(done: Sequence[ResyncProgress], *, json: bool) -> None:
    """One line of what became of it. Raises Finding if the cloud refused some, or somebody cancelled it."""
    end = f"acknowledged {acknowledged(done):,}, refused {refused(done):,}"
    cancelled = [one.request_id for one in done if one.state == "cancelled"]
    if cancelled:
        end = f"cancelled before its end: {', '.join(cancelled)}; {end}"
    if refused(done):
        raise Finding(end, todo="Which and why: ticketsync recordings --blocked any")
    if cancelled:
        raise Finding(end)
    if not json:
        show.out().print(end, highlight=False)


def _ask(selections: Sequence[dict[str, Any]], addresses: Addresses, *, by: str) -> list[str]:
    """Publish a request for each of these selections; their request_ids."""
    # On demand: a plan needs no client of Kafka.
    from ops.resync_requests import publish, request_for  # noqa: PLC0415

    requests = [request_for(one, by) for one in selections]
    asyncio.run(publish(addresses, requests))
    return [one.request_id for one in requests]


def _per_minute(rate: str | None) -> int | None:
    if rate is None:
        return None
    written = re.fullmatch(r"([1-9][0-9]{0,6})(/m)?", rate)
    if written is None or int(written[1]) > RESYNC_RATE_MAX:
        raise WrongInput(f"--rate {rate}: it is written as N/m, N from 1 to {RESYNC_RATE_MAX}")
    return int(written[1])


async def _plan(
    addresses: Addresses, asked: Asked, common: dict[str, Any]
) -> tuple[Selected, Sequence[int | None], dict[str, Any]]:
    """What is selected, the rate of each request, and what would become of all of them together."""
    async with api(addresses, "linker") as linker, api(addresses, "cloud_updater") as updater:
        selected = await select(linker, asked)
        turns = asyncio.Semaphore(PLANNED_AT_ONCE)

        async def planned(selection: dict[str, Any]) -> ResyncPlan:
            async with turns:
                return await updater.call("POST", "/resyncs/plan", ResyncPlan, json={**selection, **common})

        plans = await asyncio.gather(*(planned(one) for one in selected.requests))
    rates = shares_of(common["rate_per_minute"], [one.requests for one in plans])
    counted = ("to_send", "blocked", "in_sync", "no_ticket", "requests")
    added: dict[str, Any] = {name: sum(getattr(one, name) for one in plans) for name in counted}
    known = selected.not_transferred
    added["not_transferred"] = sum(one.not_transferred or 0 for one in plans) if known is None else known
    return selected, rates, added | times(plans, rates)


def times(plans: Sequence[ResyncPlan], rates: Sequence[int | None]) -> dict[str, Any]:
    """All of them wait for the same folders, and then share the way to the cloud."""
    waits = {"folders_before": max((one.folders_before for one in plans), default=0)}
    unknown = next((one for one in plans if one.expected_s is None), None)
    if unknown:
        return {**waits, "wait_s": None, "expected_s": None, "not_known_as": unknown.not_known_as}
    wait_s = max((one.wait_s or 0.0 for one in plans), default=0.0)
    together_s = sum((one.expected_s or 0.0) - (one.wait_s or 0.0) for one in plans)
    alone_s = [one.requests * 60 / rate for one, rate in zip(plans, rates, strict=True) if rate]
    return {**waits, "wait_s": wait_s, "expected_s": wait_s + max([together_s, *alone_s]), "not_known_as": None}


def _in_words(plan: dict[str, Any]) -> dict[str, object]:
    return {
        "to send": plan["to_send"],
        "blocked, tried again": plan["blocked"],
        "already in sync": plan["in_sync"],
        "without a ticket": plan["no_ticket"],
        "not transferred": plan["not_transferred"],
        "requests": plan["requests"],
        "folders due before": plan["folders_before"],
        "expected time": _time_in_words(plan),
    }


def _time_in_words(plan: dict[str, Any]) -> str | None:
    if not plan["requests"]:
        return None
    if plan["not_known_as"] == "way_is_stopped":
        return "known once the way to the cloud is free"
    if plan["expected_s"] is None:
        return "as fast as the cloud answers"
    return f"about {show.duration(max(1.0, plan['expected_s']))}"


def _in_short(selection: dict[str, Any]) -> dict[str, Any]:
    return {name: len(value) if isinstance(value, list) else value for name, value in selection.items()}
