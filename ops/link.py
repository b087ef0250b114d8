"""`ticketsync link` and `ticketsync unlink`: one recording's ticket, set or removed.

The recording is named by its id, or by its filename when a folder is given. The linker decides; what it answered is
shown. A recording that nobody has seen yet keeps its link parked until it arrives.
"""

import asyncio
from typing import Annotated, Any
from uuid import uuid4

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers.links import Linked
from ops.exits import Finding
from ops.options import By, DataDir, Json
from ops.service_api import Refused, api
from ops.who import asks

NOT_FOUND = 404
STALE = "a newer request for this recording was there already; nothing has changed"

Recording = Annotated[
    str, typer.Argument(metavar="RECORDING", help="A recording_id; with --folder, a filename.", show_default=False)
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
        **_named(recording, folder),
        "ticket_info": {name: value for name, value in details.items() if value is not None},
        "request_id": str(uuid4()),
        "park": park,
    }
    linked = asyncio.run(_link(resolve(data_dir), request, asks(by)))
    _show(linked, json=json)
    if linked.outcome == "parked" and not folder:
        show.note(f"No recording has the id {recording} yet. If it is a filename, name its folder: --folder F.")
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


async def _link(addresses: Addresses, request: dict[str, Any], by: str) -> Linked:
    async with api(addresses, "linker", by=by) as linker:
        try:
            return await linker.call("POST", "/links", Linked, json=request)
        except Refused as refused:
            raise _with_candidates(refused) from None


async def _unlink(addresses: Addresses, recording: str, folder: str | None, by: str) -> Linked:
    async with api(addresses, "linker", by=by) as linker:
        try:
            return await linker.call("DELETE", "/links", Linked, _named(recording, folder))
        except Refused as refused:
            if folder or refused.problem.get("status") != NOT_FOUND:
                raise _with_candidates(refused) from None
        # No id: a link may be parked under it as a filename, and nobody knows its folder.
        try:
            return await linker.call("DELETE", "/links", Linked, {"filename": recording})
        except Refused as refused:
            if refused.problem.get("status") == NOT_FOUND:
                refused.todo = "It is no id and no filename that is known or parked; a filename may need --folder F."
            raise _with_candidates(refused) from None


def _named(recording: str, folder: str | None) -> dict[str, str]:
    return {"filename": recording, "folder": folder} if folder else {"recording_id": recording}


def _with_candidates(refused: Refused) -> Refused:
    """An ambiguous name is told with the recordings that it could mean."""
    candidates = refused.problem.get("candidates")
    if isinstance(candidates, list):
        names = [str(one.get("recording_id", one)) if isinstance(one, dict) else str(one) for one in candidates]
        refused.todo = f"It could be: {', '.join(names)}. Name the recording by its id."
    return refused


def _show(linked: Linked, *, json: bool) -> None:
    answer = linked.model_dump(exclude_none=True)
    if json:
        show.as_json(answer)
    else:
        show.pairs(answer)
