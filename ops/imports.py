"""`ticketsync imports`: which spreadsheets were imported, how far each is, and what became of its rows.

It only looks. What linker has accepted goes on by itself, whether or not anybody looks.
"""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers.imports import Import, Imports
from ops.exits import Finding, WrongInput
from ops.import_links import REPORT_TIME_LIMIT_S, rows_of
from ops.options import DataDir, Json
from ops.pages import first
from ops.service_api import api
from ops.show_import import show_import
from ops.whole_file import whole_file
from shared.path_segment import path_segment

commands = typer.Typer(help="Imports of spreadsheets: list, show.", no_args_is_help=True)


@commands.command("list", epilog="Example: ticketsync imports list --limit 20")
def list_imports(
    *,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1_000_000, help="How many at most.")] = 100,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """List imports, the newest first."""
    found, more = asyncio.run(_list(resolve(data_dir), limit))
    if json:
        show.as_json({"items": [one.model_dump(mode="json") for one in found], "more": more})
        return
    show.table(
        ("accepted", "import", "file", "by", "rows", "outcomes"),
        [
            (
                show.moment(one.accepted_at),
                one.import_id,
                one.filename,
                one.linked_by,
                _how_far(one),
                ", ".join(f"{count:,} {outcome}" for outcome, count in sorted(one.counts.items())),
            )
            for one in found
        ],
        ids=("import",),
    )
    if more:
        show.more(limit)


@commands.command(
    "show", epilog="Example: ticketsync imports show 7a1c6f0e-0f0b-4c8e-9d6b-3f2f0f3f0c11 --report report.csv"
)
def show_one(
    import_id: Annotated[
        str, typer.Argument(metavar="IMPORT_ID", help="As `ticketsync imports list` shows it.", show_default=False)
    ],
    *,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            dir_okay=False,
            help="Write what became of each row as CSV; a new file is for your eyes alone.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Show how far an import is, and the rows that need a look."""
    receipt, rows = asyncio.run(_show(resolve(data_dir), import_id, report))
    if json:
        show.as_json({**receipt.model_dump(mode="json"), "rows": rows})
        return
    show.pairs({"import": receipt.import_id, "file": receipt.filename, "status": receipt.status})
    show_import(receipt, rows, report=report)


def _how_far(one: Import) -> str:
    rows = f"{one.rows_total:,}" if one.status == "done" else f"{one.rows_done:,} of {one.rows_total:,}"
    return f"{rows}, a dry run" if one.dry_run else rows


async def _list(addresses: Addresses, limit: int) -> tuple[list[Import], bool]:
    async with api(addresses, "linker") as linker:
        return await first(linker, "/imports", Imports, {}, limit=limit)


async def _show(addresses: Addresses, import_id: str, report: Path | None) -> tuple[Import, list[dict[str, Any]]]:
    async with api(addresses, "linker") as linker:
        receipt = await linker.find(f"/imports/{path_segment(import_id)}", Import) if import_id else None
        if receipt is None:
            raise Finding(f"linker knows no import {import_id}", todo="Which there are: ticketsync imports list")
        rows = await rows_of(linker, import_id, attention=True)
        if report:
            path = f"/imports/{path_segment(import_id)}/report"
            try:
                with whole_file(report) as file:
                    await linker.save(path, file, time_limit_s=REPORT_TIME_LIMIT_S)
            except OSError as error:
                raise WrongInput(f"{report} cannot be written: {error.strerror}") from None
        return receipt, rows
