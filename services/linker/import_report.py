"""The report of an import as CSV: a line per row of the file, with what became of it and why.

It is read a page at a time, so that it may be of any length.
"""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

from services.linker import seen_imports
from shared.csv_text import as_csv
from shared.database import Database

COLUMNS = (
    "line", "outcome", "recording_id", "folder", "filename", "ticket_id", "link_version", "replaced_ticket_id",
    "replaced_by_line", "field", "message", "candidates",
)  # fmt: skip
PAGE_ROWS = 2_000


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


def _cells(row: Mapping[str, Any]) -> list[object]:
    known = {**row, **(row["detail"] or {})}
    if candidates := known.get("candidates"):
        known["candidates"] = json.dumps([one["recording_id"] for one in candidates], ensure_ascii=False)
    return [known.get(column) for column in COLUMNS]
