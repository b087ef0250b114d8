"""Shows what a spreadsheet looks like before it is imported: its columns, which fields they hold, and some rows.

In: the same file, limits and mapping as read_spreadsheet takes, and read in the same way. Out: also for a file whose
columns do not suffice yet, with what is missing; that is when a person has to say which column is which.
"""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice

from services.linker.lines import Limits, Line, SpreadsheetFile, Unreadable
from services.linker.map_columns import find_columns, missing_fields
from services.linker.read_spreadsheet import lines_of

ROWS_SHOWN = 10
CELL_SHOWN_CHARS = 200


@dataclass(frozen=True)
class Preview:
    """How a file would be read. `mapping`: field → column's name; `missing`: fields that it cannot do without."""

    columns: list[str]
    mapping: dict[str, str]
    missing: list[str]
    rows: list[Line]


def preview(file: SpreadsheetFile, limits: Limits, *, given: Mapping[str, str]) -> Preview:
    """Read the first lines. Raises Unreadable, as the whole would, and if `given` names what is not there."""
    with closing(lines_of(file, limits, given)) as lines:
        filled = (line for line in lines if not line.is_blank)
        heading = next(filled, None)
        if heading is None:
            raise Unreadable("the file is empty")
        columns = find_columns(heading.cells, given, line=heading.number)
        return Preview(
            columns=_shown(heading).cells,
            mapping={field: _cut(heading.cells[place]) for field, place in columns.items()},
            missing=missing_fields(columns),
            rows=[_shown(line) for line in islice(filled, ROWS_SHOWN)],
        )


def _shown(line: Line) -> Line:
    return Line(line.number, [_cut(cell) for cell in line.cells])


def _cut(cell: str) -> str:
    text = cell.strip()
    return text if len(text) <= CELL_SHOWN_CHARS else text[: CELL_SHOWN_CHARS - 1] + "…"
