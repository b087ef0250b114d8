"""`ticketsync parked`: links that wait for their recordings, and giving up those whose recordings will not come.

What is dropped is exactly what was listed for it: a request that took another's place in between stays. On a terminal
one is asked before; elsewhere nothing is asked, so --yes has to be given. What was dropped before linker went away is
told (ops/so_far.py).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers.links import Dropped, ParkedLink, ParkedLinks
from ops.confirm import confirm
from ops.exits import Finding, WrongInput
from ops.options import By, DataDir, Json, Yes
from ops.pages import first, pages
from ops.service_api import Parameters, api
from ops.so_far import SoFar
from ops.who import asks

LOT = 1_000
DAY_S = 86_400
LONGEST_DAYS = 36_500

commands = typer.Typer(help="Links that wait for their recordings: list, drop.", no_args_is_help=True)

InFolder = Annotated[
    str | None,
    typer.Option("--folder", help="Only those that name this folder, by id or by name.", show_default=False),
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
    waiting = asyncio.run(_all(addresses, conditions))
    if waiting.parked_ids:
        question = f"Drop {len(waiting.parked_ids):,} links, the oldest parked {waiting.oldest_s // DAY_S:,} days ago?"
        confirm(question, yes=yes, json=json)
    done = asyncio.run(_drop(addresses, waiting, by=asks(by)))
    if json:
        show.as_json({"dropped": done.dropped, "gone": done.gone, "ended_early": done.ended_early})
    else:
        show.pairs({"dropped": done.dropped, "did not wait any more": done.gone})
    done.require_end()
    if not waiting.parked_ids and (folder or filename or ticket or import_id):
        raise Finding("no parked link meets these conditions", todo="See which do: ticketsync parked list")


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


@dataclass(frozen=True)
class Waiting:
    """What is to be dropped, as it was listed. Its repr, which asyncio.run makes, is small."""

    parked_ids: Sequence[str] = field(repr=False)
    oldest_s: int


async def _all(addresses: Addresses, conditions: Parameters) -> Waiting:
    parked_ids: list[str] = []
    oldest_s = 0
    async with api(addresses, "linker") as linker:
        async for page in pages(linker, "/parked-links", ParkedLinks, conditions):
            parked_ids += [one.parked_id for one in page]
            oldest_s = max(oldest_s, page[0].age_s)
    return Waiting(parked_ids, oldest_s)


@dataclass
class Dropping(SoFar):
    """How many were dropped so far, and how many did not wait any more."""

    dropped: int = 0
    gone: int = 0


async def _drop(addresses: Addresses, waiting: Waiting, *, by: str) -> Dropping:
    done, parked_ids = Dropping(), waiting.parked_ids
    async with api(addresses, "linker", by=by) as linker:
        with done.noted(), show.progress() as bar:
            task = bar.add_task("dropped", total=len(parked_ids))
            for start in range(0, len(parked_ids), LOT):
                lot = parked_ids[start : start + LOT]
                answer = await linker.call("POST", "/parked-links/drop", Dropped, json={"parked_ids": lot})
                done.dropped, done.gone = done.dropped + answer.dropped, done.gone + answer.gone
                bar.advance(task, len(lot))
    return done
