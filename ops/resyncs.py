"""`ticketsync resyncs`: the resyncs that were asked for, how far they are, and having them in hand.

A pause and an end are felt within some hundred requests: what is found to be pushed by then is pushed in any case.
"""

import asyncio
from typing import Annotated

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers.resyncs import Resync, ResyncProgress, Resyncs
from ops.options import By, DataDir, Json
from ops.pages import first
from ops.service_api import Refused, api
from ops.who import asks
from shared.path_segment import path_segment

commands = typer.Typer(help="Resyncs: list, show, pause, resume, cancel.", no_args_is_help=True)

Id = Annotated[
    str, typer.Argument(metavar="ID", help="The request_id, as `ticketsync resyncs list` shows it.", show_default=False)
]


@commands.command("list", epilog="Example: ticketsync resyncs list --unfinished")
def list_resyncs(
    *,
    unfinished: Annotated[bool, typer.Option("--unfinished", help="Only those that are not over.")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many at most.")] = 20,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List resyncs, the newest first."""
    found, more = asyncio.run(_list(resolve(data_dir), unfinished=unfinished, limit=limit))
    if json:
        show.as_json({"items": [one.model_dump(mode="json") for one in found], "more": more})
        return
    show.table(
        ("request_id", "asked at", "by", "of", "force", "state", "found to push"),
        [
            (
                one.request_id,
                f"{one.requested_at:%Y-%m-%d %H:%M}Z",
                one.requested_by,
                one.folder_id or ("all" if one.recordings is None else f"{one.recordings:,} recordings"),
                one.force,
                one.state,
                one.made_owed,
            )
            for one in found
        ],
        ids=("request_id",),
    )
    if more:
        show.more(limit)


@commands.command("show", epilog="Example: ticketsync resyncs show 0f5e…")
def show_resync(request_id: Id, *, json: Json = False, data_dir: DataDir = None) -> None:
    """Show one resync and how far it is."""
    _show(asyncio.run(_ask(resolve(data_dir), "GET", request_id)), json=json)


@commands.command("pause", epilog="Example: ticketsync resyncs pause 0f5e…")
def pause_resync(request_id: Id, *, by: By = None, json: Json = False, data_dir: DataDir = None) -> None:
    """Look at no more folders until it is resumed; exit 1 if it is over, or paused already."""
    _show(asyncio.run(_ask(resolve(data_dir), "POST", request_id, "/pause", by=asks(by))), json=json)


@commands.command("resume", epilog="Example: ticketsync resyncs resume 0f5e…")
def resume_resync(request_id: Id, *, by: By = None, json: Json = False, data_dir: DataDir = None) -> None:
    """Go on with a paused resync where it stood; exit 1 if it is not paused."""
    _show(asyncio.run(_ask(resolve(data_dir), "POST", request_id, "/resume", by=asks(by))), json=json)


@commands.command("cancel", epilog="Example: ticketsync resyncs cancel 0f5e…")
def cancel_resync(request_id: Id, *, by: By = None, json: Json = False, data_dir: DataDir = None) -> None:
    """End a resync as it stands; exit 1 if it is over already."""
    _show(asyncio.run(_ask(resolve(data_dir), "POST", request_id, "/cancel", by=asks(by))), json=json)


async def _list(addresses: Addresses, *, unfinished: bool, limit: int) -> tuple[list[Resync], bool]:
    async with api(addresses, "cloud_updater") as updater:
        return await first(updater, "/resyncs", Resyncs, {"unfinished": unfinished}, limit=limit)


async def _ask(
    addresses: Addresses, method: str, request_id: str, what: str = "", *, by: str | None = None
) -> ResyncProgress:
    async with api(addresses, "cloud_updater", by=by) as updater:
        try:
            return await updater.call(method, f"/resyncs/{path_segment(request_id)}{what}", ResyncProgress)
        except Refused as refused:
            if refused.status == 404:  # noqa: PLR2004 - HTTP's own number
                refused.todo = "Which there are: ticketsync resyncs list"
            raise


def _show(found: ResyncProgress, *, json: bool) -> None:
    if json:
        show.as_json(found.model_dump(mode="json"))
    else:
        show.pairs(found.model_dump(mode="json"))
