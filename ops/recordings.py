"""`ticketsync recordings`: the recordings behind each count of `status`, with filters, as a table or as a file.

In: conditions, all of which have to be met, or what keeps recordings back (--blocked). Out: a table, CSV or JSON lines.
Only a page is in memory at a time, but for a table and --json, which are short. A file appears when it is whole; what
is blocked at a service that does not answer is missing elsewhere, and that is said (ops/heard.py).
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal, TextIO

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers import Page, State
from ops.exits import WrongInput
from ops.given import check_between, moment
from ops.heard import Heard
from ops.lookup import folder_id_as_heard
from ops.options import DataDir, Json
from ops.overview import Services, services
from ops.pages import BLOCKED_PAGE, pages
from ops.service_api import Parameters
from ops.whole_file import whole_file
from shared.csv_text import as_csv

SHOWN_MAX = 1_000
Format = Literal["table", "csv", "jsonl"]
Reason = Literal["any", "retrying", "rejected", "outcome_unknown", "missing_in_cloud"]

COLUMNS = (
    "recording_id", "folder_id", "folder_name", "filename", "state", "ticket_id", "customer_name", "link_version",
    "acknowledged_link_version", "clouds_uuid", "called_at", "linked_at", "linked_by", "source", "import_id",
)  # fmt: skip
BLOCKED_COLUMNS = ("recording_id", "folder_id", "service", "reason", "message", "next_try_at")
IN_TABLE = ("recording_id", "folder_id", "filename", "state", "ticket_id")

Items = AsyncIterator[Sequence[dict[str, Any]]]


@dataclass(frozen=True)
class Wanted:
    """Which recordings: conditions for linker, or those that are `blocked`, for this reason or any; in a folder."""

    conditions: Parameters
    folder: str | None
    blocked: Reason | None


def recordings(  # noqa: PLR0913 - an option per condition
    *,
    state: Annotated[State | None, typer.Option("--state", help="In this state.", show_default=False)] = None,
    blocked: Annotated[
        Reason | None, typer.Option("--blocked", help="Blocked for this reason, or any.", show_default=False)
    ] = None,
    folder: Annotated[
        str | None, typer.Option("--folder", help="In this folder (id, or a unique name).", show_default=False)
    ] = None,
    filename: Annotated[str | None, typer.Option("--filename", help="With this filename.", show_default=False)] = None,
    ticket: Annotated[str | None, typer.Option("--ticket", help="Linked to this ticket.", show_default=False)] = None,
    customer: Annotated[str | None, typer.Option("--customer", help="Of this customer.", show_default=False)] = None,
    search: Annotated[
        str | None,
        typer.Option("--search", help="With this in filename, ticket or customer.", show_default=False),
    ] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Calls from then on: 2025-01-29T10:30:00Z.", show_default=False)
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Calls before then.", show_default=False)] = None,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", min=1, help="At most so many; else 1,000 in a table, and all in a file.", show_default=False
        ),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="How to print them.")] = "table",
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            dir_okay=False,
            help="Write CSV or JSON lines here; a new file is for your eyes alone.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List recordings that meet all of the given conditions, or that are blocked."""
    if json and (form != "table" or output):
        raise WrongInput("--json prints one JSON value; for a file take --format jsonl")
    if output and form == "table":
        raise WrongInput("--output wants --format csv or --format jsonl")
    called_from, called_before = moment("--since", since), moment("--until", until)
    check_between(called_from, called_before)
    conditions: Parameters = {
        "state": state,
        "filename": filename,
        "ticket": ticket,
        "customer": customer,
        "search": search,
        "from": called_from,
        "to": called_before,
    }
    if blocked and any(value is not None for value in conditions.values()):
        raise WrongInput("--blocked goes with --folder, and with no other condition")
    addresses, wanted = resolve(data_dir), Wanted(conditions, folder, blocked)
    if json or form == "table":
        found, heard = asyncio.run(_short(addresses, wanted, limit or SHOWN_MAX))
        _show(found, heard, blocked=blocked is not None, json=json)
        if len(found) == (limit or SHOWN_MAX):
            show.note(f"There may be more than these {len(found):,}: --limit N, or --format csv for all.")
        heard.require_all()
        return
    number = asyncio.run(_export(addresses, wanted, limit, form=form, output=output))
    if output:
        show.note(f"{number:,} recordings in {output}")


async def _short(addresses: Addresses, wanted: Wanted, limit: int) -> tuple[list[dict[str, Any]], Heard]:
    heard = Heard()
    async with services(addresses) as asked:
        return [one async for page in _found(asked, heard, wanted, limit) for one in page], heard


async def _found(asked: Services, heard: Heard, wanted: Wanted, limit: int | None) -> Items:
    """What keeps recordings back, as far as the services answer; all else is linker's alone. Raises Unreachable."""
    folder_id = await folder_id_as_heard(asked, heard, wanted.folder)
    if wanted.blocked is None:
        heard.require_all()
        params = {**wanted.conditions, "folder": folder_id}
        async for page in pages(asked.linker, "/recordings", Page, params, limit=limit):
            yield page
        return
    params = {"folder": folder_id, "reason": None if wanted.blocked == "any" else wanted.blocked}
    for service in (asked.transfer, asked.cloud_updater):
        of_service = pages(service, "/blocked", Page, params, page_size=BLOCKED_PAGE, limit=limit)
        while more := await heard.said(service, anext(of_service, None)):
            limit = None if limit is None else limit - len(more)
            yield [{**one, "service": service.service} for one in more]
    heard.require_somebody()


def _show(found: Sequence[dict[str, Any]], heard: Heard, *, blocked: bool, json: bool) -> None:
    if json:
        show.as_json({"items": found, "unreachable": heard.unreachable})
        return
    columns = BLOCKED_COLUMNS if blocked else IN_TABLE
    show.table(
        [name.removesuffix("_id") for name in columns],
        [_cells(_for_a_person(one), columns) for one in found],
        silent=heard.unreachable,
    )


def _for_a_person(one: dict[str, Any]) -> dict[str, Any]:
    next_try_at = one.get("next_try_at")
    return {**one, "next_try_at": show.moment(datetime.fromisoformat(next_try_at))} if next_try_at else one


def _cells(one: dict[str, Any], columns: Sequence[str]) -> list[object]:
    """The values of the columns; those of the ticket stand in `ticket_info`."""
    ticket = one.get("ticket_info") or {}
    return [one[name] if name in one else ticket.get(name) for name in columns]


async def _export(addresses: Addresses, wanted: Wanted, limit: int | None, *, form: Format, output: Path | None) -> int:
    """Write them as they come; returns how many there were. Raises Unreachable if a service was silent at the end."""
    columns = BLOCKED_COLUMNS if wanted.blocked else COLUMNS
    number = 0
    heard = Heard()
    async with services(addresses) as asked:
        with _written(output) as file, show.progress() as progress:
            task = progress.add_task("recordings", total=None)
            if form == "csv":
                file.write(as_csv([columns]))
            async for page in _found(asked, heard, wanted, limit):
                if form == "csv":
                    file.write(as_csv(_cells(one, columns) for one in page))
                else:
                    file.writelines(json.dumps(one, ensure_ascii=False) + "\n" for one in page)
                number += len(page)
                progress.update(task, completed=number)
            heard.require_all()
    return number


@contextmanager
def _written(output: Path | None) -> Iterator[TextIO]:
    """Stdout, or a file, whole or not at all. Raises WrongInput if it cannot be written."""
    if output is None:
        yield sys.stdout
        return
    try:
        with whole_file(output) as file, TextIOWrapper(file, encoding="utf-8", newline="") as text:
            yield text
    except OSError as error:
        raise WrongInput(f"{output} cannot be written: {error.strerror}") from None
