"""`ticketsync import`: links from a spreadsheet, each row decided and stored before the command returns.

The linker does the work and keeps it, so a command that is interrupted here has imported all the same. Exit 0 if every
row found its place, 1 if some need a look, 2 if the file cannot be read or mapped.
"""

import asyncio
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers import ImportProgress, ImportRows, ImportStarted
from ops.exits import Finding, Unreachable, WrongInput
from ops.options import By, DataDir, Json
from ops.service_api import ServiceApi, api
from ops.who import asks

ALL_ROWS_UP_TO = 10_000
NEED_A_LOOK = ("ambiguous", "invalid")
ROWS_SHOWN = 20
PAGE_ROWS = 1_000
UPLOAD_TIME_LIMIT_S = 300.0
BEAT_S = 0.1
SLOW_BEAT_S = 1.0
PATIENCE_S = 30.0


def import_links(
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", exists=True, dir_okay=False, readable=True, help="CSV with a heading line."),
    ],
    *,
    folder: Annotated[
        str | None,
        typer.Option("--folder", help="Folder of rows that do not name theirs.", show_default=False),
    ] = None,
    park: Annotated[
        bool, typer.Option("--park/--no-park", help="Keep links until their recordings arrive, or refuse them.")
    ] = True,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Import links from a spreadsheet and show what became of each row."""
    parameters = {"filename": file.name, "folder": folder, "park": park, "linked_by": asks(by)}
    try:
        content = file.read_bytes()
    except OSError as error:
        raise WrongInput(f"{file} cannot be read: {error.strerror}") from None
    receipt, rows = asyncio.run(_import(resolve(data_dir), content, parameters))
    if json:
        show.as_json({"counts": receipt.counts, "rows": rows})
    else:
        _show(receipt, rows)
    if attention := sum(receipt.counts.get(outcome, 0) for outcome in NEED_A_LOOK):
        raise Finding(f"{attention:,} of {receipt.rows_total:,} rows need a look; the others are imported")


async def _import(
    addresses: Addresses, content: bytes, parameters: dict[str, str | bool | None]
) -> tuple[ImportProgress, list[dict[str, Any]]]:
    async with api(addresses, "linker") as linker:
        started = await linker.call(
            "POST", "/imports", ImportStarted, parameters, content=content, time_limit_s=UPLOAD_TIME_LIMIT_S
        )
        receipt = await finished(linker, started.import_id)
        return receipt, await _rows(linker, started.import_id, attention=receipt.rows_total > ALL_ROWS_UP_TO)


async def finished(linker: ServiceApi, import_id: str, *, patience_s: float = PATIENCE_S) -> ImportProgress:
    """The receipt of the finished import. A linker that is started again goes on with it, so it is given time.

    Raises Unreachable if there was no answer for longer than `patience_s`.
    """
    beat_s = BEAT_S
    heard_at = monotonic()
    with show.progress() as bar:
        task = bar.add_task("rows", total=None)
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


async def _rows(linker: ServiceApi, import_id: str, *, attention: bool) -> list[dict[str, Any]]:
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


def _show(receipt: ImportProgress, rows: list[dict[str, Any]]) -> None:
    show.pairs({"rows": receipt.rows_total, **receipt.counts})
    attention = [row for row in rows if row.get("outcome") in NEED_A_LOOK]
    if attention:
        show.table(
            ("line", "outcome", "why"),
            [(row.get("line"), row.get("outcome"), _why(row)) for row in attention[:ROWS_SHOWN]],
        )
    if len(attention) > ROWS_SHOWN:
        show.note(f"{len(attention) - ROWS_SHOWN:,} more: --json shows all")


def _why(row: dict[str, Any]) -> str:
    return ", ".join(
        f"{name}: {value}" for name, value in row.items() if name not in {"line", "outcome"} and value is not None
    )
