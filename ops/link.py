"""`ticketsync link` and `ticketsync unlink`: one recording's ticket, set or removed.

The recording is named by its id or its filename; without a folder an id is meant before a filename. The linker decides;
what it answered is shown. A recording that nobody has seen yet keeps its link parked until it arrives.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import PurePath
from shlex import quote
from typing import Annotated, Any, TypeVar
from uuid import uuid4

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers.links import Linked
from ops.commands_told import argument
from ops.exits import Finding
from ops.lookup import check_folder
from ops.options import By, DataDir, Json
from ops.service_api import Refused, api
from ops.who import asks

NOT_FOUND = 404
NOT_THIS = (NOT_FOUND, 422)  # nothing has this name, or nothing can have it
OPTIONS = {
    "ticket_id": "--ticket",
    "customer_name": "--customer",
    "agent_name": "--agent",
    "call_intent": "--intent",
    "call_outcome": "--outcome",
    "ticket_url": "--url",
}
STALE = "a newer request for this recording was there already; nothing has changed"

R = TypeVar("R")
Named = Sequence[Mapping[str, str]]
Recording = Annotated[
    str, typer.Argument(metavar="RECORDING", help="A recording_id or a filename.", show_default=False)
]
InFolder = Annotated[
    str | None,
    typer.Option(
        "--folder", help="Folder (id, or a unique name) in which RECORDING is a filename.", show_default=False
    ),
]


def link(  # noqa: PLR0913 - a ticket has this many fields
    recording: Recording,
    ticket: Annotated[str, typer.Option("--ticket", help="The ticket's id.", show_default=False)],
    *,
    customer: Annotated[str | None, typer.Option("--customer", help="Customer's name.", show_default=False)] = None,
    agent: Annotated[str | None, typer.Option("--agent", help="Agent's name.", show_default=False)] = None,
    intent: Annotated[str | None, typer.Option("--intent", help="Why the call was made.", show_default=False)] = None,
    outcome: Annotated[str | None, typer.Option("--outcome", help="How the call ended.", show_default=False)] = None,
    url: Annotated[str | None, typer.Option("--url", help="The ticket's http(s) address.", show_default=False)] = None,
    folder: InFolder = None,
    park: Annotated[
        bool, typer.Option("--park/--no-park", help="Keep the link until its recording arrives, or refuse it.")
    ] = True,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Attach a ticket to a recording; it replaces the one that was there."""
    details = {
        "ticket_id": ticket,
        "customer_name": customer,
        "agent_name": agent,
        "call_intent": intent,
        "call_outcome": outcome,
        "ticket_url": url,
    }
    request = {
        "ticket_info": {name: value for name, value in details.items() if value is not None},
        "request_id": str(uuid4()),
        "park": park,
    }
    again = _again(details)
    linked = asyncio.run(_link(resolve(data_dir), _named(recording, folder), request, again=again, by=asks(by)))
    _show(linked, json=json)
    if linked.outcome == "parked" and folder is None:
        waits_for = "the first of this filename" if _is_filename(recording) else "this id; a filename needs --folder F"
        show.note(f"No recording has the id or the filename {recording} yet; the link waits for {waits_for}.")
    if linked.outcome == "stale":
        raise Finding(STALE)


def unlink(
    recording: Recording, *, folder: InFolder = None, by: By = None, json: Json = False, data_dir: DataDir = None
) -> None:
    """Remove the ticket of a recording, or withdraw a link that is still parked."""
    linked = asyncio.run(_unlink(resolve(data_dir), recording, folder, asks(by)))
    _show(linked, json=json)
    if linked.outcome == "stale":
        raise Finding(STALE)


async def _link(addresses: Addresses, named: Named, request: dict[str, Any], *, again: str, by: str) -> Linked:
    *first, last = named
    requests = [*({**request, **one, "park": False} for one in first), {**request, **last}]
    async with api(addresses, "linker", by=by) as linker:
        return await _first_that_fits(requests, lambda one: linker.call("POST", "/links", Linked, json=one), again)


async def _unlink(addresses: Addresses, recording: str, folder: str | None, by: str) -> Linked:
    async with api(addresses, "linker", by=by) as linker:
        try:
            return await _first_that_fits(
                _named(recording, folder)[:2],
                lambda one: linker.call("DELETE", "/links", Linked, one),
                "ticketsync unlink {}",
            )
        except Refused as refused:
            if refused.status == NOT_FOUND and folder is None:
                refused.todo = "It is no id and no filename that is known or parked; a filename may need --folder F."
            raise


async def _first_that_fits(requests: Sequence[R], ask: Callable[[R], Awaitable[Linked]], again: str) -> Linked:
    """What linker answers to the first request whose name means something; to the last, whatever it answers."""
    *first, last = requests
    try:
        for one in first:
            try:
                return await ask(one)
            except Refused as refused:
                if refused.status not in NOT_THIS:
                    raise
        return await ask(last)
    except Refused as refused:
        raise _with_candidates(refused, again) from None


def _again(details: Mapping[str, str | None]) -> str:
    """The command for the same link, with {} where the recording is named."""
    options = " ".join(f"{OPTIONS[name]} {quote(value)}" for name, value in details.items() if value is not None)
    return f"ticketsync link {options.replace('{', '{{').replace('}', '}}')} {{}}"


def _named(recording: str, folder: str | None) -> Named:
    """What RECORDING may be, in the order in which it is tried; a link waits for the last of them."""
    if folder is not None:
        check_folder(folder)
        return [{"filename": recording, "folder": folder}]
    by_id, by_name = {"recording_id": recording}, {"filename": recording}
    return [by_id, by_name] if _is_filename(recording) else [by_id, by_name, by_id]


def _is_filename(recording: str) -> bool:
    return bool(PurePath(recording).suffix)


def _with_candidates(refused: Refused, again: str) -> Refused:
    """An ambiguous name is told with the recordings that it could mean, and the command for each."""
    candidates = refused.problem.get("candidates")
    if isinstance(candidates, list):
        commands = [
            f"  {again.format(argument(str(one.get('recording_id'))))}"
            f"   # {one.get('filename')} in {one.get('folder_id')}"
            for one in candidates
            if isinstance(one, dict)
        ]
        refused.todo = "\n".join(["Say which one is meant:", *commands])
    return refused


def _show(linked: Linked, *, json: bool) -> None:
    answer = linked.model_dump(exclude_none=True)
    if json:
        show.as_json(answer)
    else:
        show.pairs(answer)
