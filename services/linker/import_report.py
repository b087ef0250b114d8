"""The report of an import as CSV: a line per row of the file, with what became of it and why.

A spreadsheet runs a cell that begins like a formula, and what a stranger put into a file could then send away what else
is in the sheet. Such cells get an apostrophe in front, which spreadsheets take for "this is text".
"""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Any

from services.linker import seen_imports
from shared.database import Database

COLUMNS = (
    "line", "outcome", "recording_id", "folder", "filename", "ticket_id", "link_version", "replaced_ticket_id",
    "replaced_by_line", "field", "message", "candidates",
)  # fmt: skip
PAGE_ROWS = 2_000
# The same signs in full width are formulas to some programs as well.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
                  "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


async def report(database: Database, import_id: str) -> AsyncIterator[str]:
    """The text of the report, a page at a time."""
    yield as_csv([COLUMNS])
    line = 0
    while True:
        async with database.transaction() as connection:
            page = await seen_imports.rows(connection, import_id, after_line=line, limit=PAGE_ROWS)
        if not page:
            return
        line = page[-1]["line"]
        yield as_csv(_cells(row) for row in page)


def as_csv(rows: Iterable[Iterable[object]]) -> str:
    """CSV that no spreadsheet runs anything of."""
    text = io.StringIO()
    csv.writer(text).writerows([neutral(cell) for cell in row] for row in rows)
    return text.getvalue()


def neutral(cell: object) -> str:
    """The cell as text that is not taken for a formula."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(FORMULA_STARTS) or text.lstrip().startswith(FORMULA_STARTS) else text


def _cells(row: Mapping[str, Any]) -> list[object]:
    known = {**row, **(row["detail"] or {})}
    if candidates := known.get("candidates"):
        known["candidates"] = json.dumps([one["recording_id"] for one in candidates], ensure_ascii=False)
    return [known.get(column) for column in COLUMNS]
