"""`ticketsync parked`: links that wait for their recordings, and giving up those whose recordings will not come.

What is dropped is exactly what was listed for it: a request that took another's place in between stays. On a terminal
one is asked before; elsewhere nothing is asked, so --yes has to be given.
"""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers.links import Dropped, ParkedLink, ParkedLinks
from ops.confirm import confirm
from ops.exits import Finding, WrongInput
from ops.options import By, DataDir, Json, Yes
from ops.pages import first
from ops.service_api import Parameters, api
from ops.who import asks

LOT = 1_000
DAY_S = 86_400
LONGEST_DAYS = 36_500

commands = typer.Typer(help="Links that wait for their recordings: list, drop.", no_args_is_help=True)

InFolder = Annotated[
    str | None, typer.Option("--folder", help="Only those that name this folder, as they do.", show_default=False)
]
Filename = Annotated[str | None, typer.Option("--filename", help="Only this filename.", show_default=False)]
Ticket = Annotated[str | None, typer.Option("--ticket", help="Only this ticket.", show_default=False)]
ImportId = Annotated[str | None, typer.Option("--import", help="Only rows of this import_id.", show_default=False)]
Expired = Annotated[
    bool, typer.Option("--expired", help="Only those that wait longer than PARKED_EXPIRE_AFTER_DAYS of linker.")
]
OlderThan = Annotated[
    float | None,
    typer.Option(
        "--older-than", min=0, max=LONGEST_DAYS, help="Only those that wait so many days.", show_default=False
    ),
]


@commands.command("list", epilog="Example: ticketsync parked list --older-than 30")
def list_parked(  # noqa: PLR0913 - an option per condition
    *,
    folder: InFolder = None,
    filename: Filename = None,
    ticket: Ticket = None,
    import_id: ImportId = None,
    expired: Expired = False,
    older_than: OlderThan = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many at most.")] = 1_000,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List links that wait for their recording, the oldest first."""
    conditions = _conditions(folder, filename, ticket, import_id, expired=expired, older_than=older_than)
    found, more = asyncio.run(_found(resolve(data_dir), conditions, limit=limit))
    if json:
        show.as_json({"items": [one.model_dump() for one in found], "more": more})
        return
    show.table(
        ("days", "state", "ticket", "folder", "recording", "request"),
        [
            (one.age_s // DAY_S, one.state, one.ticket_id, one.folder, one.recording_id or one.filename, one.request_id)
            for one in found
        ],
    )
    if more:
        show.more(limit)


@commands.command("drop", epilog="Example: ticketsync parked drop --expired")
def drop_parked(  # noqa: PLR0913 - an option per condition
    *,
    folder: InFolder = None,
    filename: Filename = None,
    ticket: Ticket = None,
    import_id: ImportId = None,
    expired: Expired = False,
    older_than: OlderThan = None,
    yes: Yes = False,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Give up links that meet all of the given conditions; one is needed at least."""
    conditions = _conditions(folder, filename, ticket, import_id, expired=expired, older_than=older_than)
    if not conditions:
        raise WrongInput("say which: --folder, --filename, --ticket, --import, --expired or --older-than")
    addresses = resolve(data_dir)
    found, _ = asyncio.run(_found(addresses, conditions, limit=None))
    if found:
        question = f"Drop {len(found):,} links, the oldest parked {found[0].age_s // DAY_S:,} days ago?"
        confirm(question, yes=yes, json=json)
    dropped = asyncio.run(_drop(addresses, found, by=asks(by)))
    if json:
        show.as_json(dropped.model_dump())
    else:
        show.pairs({"dropped": dropped.dropped, "did not wait any more": dropped.gone})
    if not found and (filename or ticket or import_id):
        raise Finding("no link of that waits", todo="See which do: ticketsync parked list")


def _conditions(
    folder: str | None,
    filename: str | None,
    ticket: str | None,
    import_id: str | None,
    *,
    expired: bool,
    older_than: float | None,
) -> Parameters:
    """Those that were given, for linker's API."""
    before = None if older_than is None else (datetime.now(UTC) - timedelta(days=older_than)).isoformat()
    given = {
        "folder": folder,
        "filename": filename,
        "ticket": ticket,
        "import_id": import_id,
        "expired": "true" if expired else None,
        "parked_before": before,
    }
    return {name: value for name, value in given.items() if value is not None}


async def _found(addresses: Addresses, conditions: Parameters, *, limit: int | None) -> tuple[list[ParkedLink], bool]:
    async with api(addresses, "linker") as linker:
        return await first(linker, "/parked-links", ParkedLinks, conditions, limit=limit)


async def _drop(addresses: Addresses, found: Sequence[ParkedLink], *, by: str) -> Dropped:
    dropped = gone = 0
    async with api(addresses, "linker", by=by) as linker:
        for start in range(0, len(found), LOT):
            lot = {"parked_ids": [one.parked_id for one in found[start : start + LOT]]}
            answer = await linker.call("POST", "/parked-links/drop", Dropped, json=lot)
            dropped, gone = dropped + answer.dropped, gone + answer.gone
    return Dropped(dropped=dropped, gone=gone)
