"""`ticketsync import`: links from a spreadsheet, each row decided and stored before the command returns.

The linker does the work and keeps it, so a command that is interrupted here has imported all the same. Exit 0 if every
row found its place, 1 if some need a look, 2 if the file cannot be read or mapped.
"""

import asyncio
from contextlib import nullcontext
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers.imports import ImportProgress, ImportRows, ImportStarted
from ops.exits import Finding, Unreachable, WrongInput
from ops.options import By, DataDir, Json
from ops.service_api import Parameters, ServiceApi, api
from ops.show_import import NEED_A_LOOK, show_import
from ops.upload import upload
from ops.who import asks
from ops.whole_file import whole_file

ALL_ROWS_UP_TO = 10_000
PAGE_ROWS = 1_000
UPLOAD_TIME_LIMIT_S = 300.0
REPORT_TIME_LIMIT_S = 300.0
BEAT_S = 0.1
SLOW_BEAT_S = 1.0
PATIENCE_S = 30.0


class OnExisting(StrEnum):
    """What a row does to another ticket that is there."""

    OVERWRITE = "overwrite"
    KEEP = "keep"
    FAIL = "fail"


def import_links(  # noqa: PLR0913 - a spreadsheet can be read and used in this many ways
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", exists=True, dir_okay=False, readable=True, help="CSV, XLSX or XLS with a heading line."
        ),
    ],
    *,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=COLUMN",
            help="Column of a field, such as ticket_id=CaseNo; may be repeated. Fields: docs/imports.md.",
            show_default=False,
        ),
    ] = None,
    sheet: Annotated[
        str | None, typer.Option("--sheet", help="Sheet of a workbook; default: the first.", show_default=False)
    ] = None,
    folder: Annotated[
        str | None,
        typer.Option("--folder", help="Folder of rows that do not name theirs.", show_default=False),
    ] = None,
    on_existing: Annotated[
        OnExisting, typer.Option("--on-existing", help="What a row does to another ticket that is there.")
    ] = OnExisting.OVERWRITE,
    park: Annotated[
        bool, typer.Option("--park/--no-park", help="Keep links until their recordings arrive, or refuse them.")
    ] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Decide every row and change nothing.")] = False,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            dir_okay=False,
            help="Write what became of each row as CSV; a new file is for your eyes alone.",
            show_default=False,
        ),
    ] = None,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Import links from a spreadsheet and show what became of each row.

    Exit 1 if some rows need a look; the others are imported all the same.
    """
    if wrong := [one for one in columns or [] if "=" not in one]:
        raise WrongInput(f"--map {wrong[0]}: it is written as field=Column, such as ticket_id=CaseNo")
    parameters: Parameters = {
        "filename": file.name,
        "map": columns or [],
        "sheet": sheet,
        "folder": folder,
        "on_existing": on_existing.value,
        "park": park,
        "dry_run": dry_run,
    }
    done = asyncio.run(_import(resolve(data_dir), file, parameters, report=report, by=asks(by)))
    _tell(done, dry_run=dry_run, json=json, report=report)


@dataclass
class _Done:
    """`not_written`: why the report is not there, if it is not."""

    import_id: str
    repeated: bool
    receipt: ImportProgress
    rows: list[dict[str, Any]]
    not_written: str | None = None


def _tell(done: _Done, *, dry_run: bool, json: bool, report: Path | None) -> None:
    """Raises Finding if some rows need a look, or if the report could not be written."""
    if json:
        show.as_json(
            {
                "import_id": done.import_id,
                "repeated": done.repeated,
                "dry_run": dry_run,
                "rows_total": done.receipt.rows_total,
                "counts": done.receipt.counts,
                "rows": done.rows,
                "rows_left_out": done.receipt.rows_total - len(done.rows),
            }
        )
    else:
        show_import(done.receipt, done.rows, report=None if done.not_written else report)
    if done.repeated:
        show.note(
            f"The same was imported before and all of it still stands: nothing was done (import {done.import_id})."
        )
    if dry_run:
        show.note("A dry run: nothing was changed.")
    elif parked := done.receipt.counts.get("parked"):
        show.note(f"{parked:,} were parked; those that still wait: ticketsync parked list --import {done.import_id}")
    if report and done.not_written:
        again = f"ticketsync imports show {done.import_id} --report FILE"
        raise Finding(f"{report} was not written: {done.not_written}; all else was done", todo=f"Again: {again}")
    if attention := sum(done.receipt.counts.get(outcome, 0) for outcome in NEED_A_LOOK):
        others = "would be imported" if dry_run else "are imported"
        raise Finding(f"{attention:,} of {done.receipt.rows_total:,} rows need a look; the others {others}")


async def _import(addresses: Addresses, file: Path, parameters: Parameters, *, report: Path | None, by: str) -> _Done:
    """The report is opened first: what can be wrong with it is wrong before anything is imported."""
    done: _Done | None = None
    try:
        with whole_file(report) if report else nullcontext() as into:
            async with api(addresses, "linker", by=by) as linker:
                done = await _imported(linker, file, parameters)
                if into:
                    path = f"/imports/{done.import_id}/report"
                    await linker.save(path, into, time_limit_s=REPORT_TIME_LIMIT_S)
    except OSError as error:
        if done is None:
            raise
        done.not_written = error.strerror
    return done


async def _imported(linker: ServiceApi, file: Path, parameters: Parameters) -> _Done:
    with show.progress() as bar, upload(file, bar) as content:
        started = await linker.call(
            "POST", "/imports", ImportStarted, parameters, content=content, time_limit_s=UPLOAD_TIME_LIMIT_S
        )
    receipt = await finished(linker, started.import_id)
    rows = await rows_of(linker, started.import_id, attention=receipt.rows_total > ALL_ROWS_UP_TO)
    return _Done(started.import_id, started.repeated, receipt, rows)


async def finished(linker: ServiceApi, import_id: str, *, patience_s: float = PATIENCE_S) -> ImportProgress:
    """The receipt of the finished import. A linker that is started again goes on with it, so it is given time.

    Raises Unreachable if there was no answer for longer than `patience_s`.
    """
    beat_s = BEAT_S
    heard_at = monotonic()
    with show.progress() as bar:
        task = bar.add_task(f"rows of import {import_id}", total=None)
        while True:
            try:
                receipt = await linker.get(f"/imports/{import_id}", ImportProgress)
            except Unreachable as error:
                if monotonic() - heard_at > patience_s:
                    error.todo = f"The import goes on by itself; the linker shows it under /imports/{import_id}."
                    raise
            else:
                heard_at = monotonic()
                bar.update(task, completed=receipt.rows_done, total=receipt.rows_total)
                if receipt.status == "done":
                    return receipt
            await asyncio.sleep(beat_s)
            beat_s = min(beat_s * 1.5, SLOW_BEAT_S)


async def rows_of(linker: ServiceApi, import_id: str, *, attention: bool) -> list[dict[str, Any]]:
    """What became of its rows, of all or of those that need a look."""
    rows: list[dict[str, Any]] = []
    after_line: int | None = None
    while True:
        page = await linker.get(
            f"/imports/{import_id}/rows",
            ImportRows,
            {"after_line": after_line, "limit": PAGE_ROWS, "attention": attention},
        )
        rows += page.items
        if page.next_after_line is None:
            return rows
        after_line = page.next_after_line
