"""Reads a spreadsheet: a file in, rows of named fields out, each with the number of its line.

In: CSV, XLSX or XLS; what it is, its content says, and a name that says something else is refused. Out: a row per line
that is not blank, read as they are asked for: what it asks for, or why it cannot be used. Limits count while reading.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePath
from typing import NamedTuple

from pydantic import ValidationError

from schemas.events import TicketDetails
from schemas.rules import broken_rules
from services.linker.lines import Limits, Line, Lines, SpreadsheetFile, Unreadable
from services.linker.map_columns import has_required, map_columns
from services.linker.text_lines import text_lines
from services.linker.workbook_lines import workbook_lines

TICKET_FIELDS = tuple(TicketDetails.model_fields)
# What a spreadsheet writes in place of a value that it could not find or that it has shortened: #N/A, 1.23457E+16.
FORMULA_ERROR = re.compile(r"#(N/A|NV|[A-Z\u00c0-\u00dd0-9/]+[!?])")
SHORTENED = re.compile(r"\d([.,]\d+)?[eE]\+\d{1,3}")
NAMING = ("recording_name", "recording_id", "ticket_id")
LONGEST = {"recording_name": 500, "recording_id": 255, "folder": 500}
# How a file begins → what it is; everything else is text. An encrypted XLSX is in the container of an XLS.
STARTS = {b"PK\x03\x04": "XLSX", b"PK\x05\x06": "XLSX", b"\xd0\xcf\x11\xe0": "XLS", b"%PDF": "PDF"}
ENDINGS = {
    ".csv": ("text",),
    ".tsv": ("text",),
    ".txt": ("text",),
    ".xlsx": ("XLSX",),
    ".xlsm": ("XLSX",),
    ".xls": ("XLS",),
    "": ("text", "XLSX", "XLS"),
}


class Asked(NamedTuple):
    """A row that asks for a link. `ticket` holds the fields that the file has a column for, empty ones included.

    `means`: the recording that it named when the file was accepted, if there was exactly one.
    """

    line: int
    recording_id: str | None
    filename: str | None
    folder: str | None
    ticket: dict[str, str]
    means: str | None = None


class Invalid(NamedTuple):
    """A row that cannot be used; `filename` as it stands there, if it names one that can be shown."""

    line: int
    field: str
    message: str
    filename: str | None = None


Row = Asked | Invalid


def read_rows(file: SpreadsheetFile, limits: Limits, *, given: Mapping[str, str] | None = None) -> Iterator[Row]:
    """Every row of the file; `given`: field → column's name. Raises Unreadable; the whole file is refused then."""
    lines = lines_of(file, limits, given or {})
    heading = next((line for line in lines if not line.is_blank), None)
    if heading is None:
        raise Unreadable("the file is empty")
    columns = map_columns(heading.cells, given, line=heading.number)
    found = 0
    for line in lines:
        if line.is_blank:
            continue
        found += 1
        if found > limits.max_rows:
            raise Unreadable(
                f"line {line.number}: more than {limits.max_rows:,} rows (IMPORT_MAX_ROWS); nothing was imported"
            )
        yield _row(line, columns, width=len(heading.cells))
    if not found:
        raise Unreadable("the file has a header but no rows")


def lines_of(file: SpreadsheetFile, limits: Limits, given: Mapping[str, str]) -> Lines:
    """The lines of the file, as they are asked for. Raises Unreadable."""
    kind = kind_of(file)
    if kind != "text":
        return workbook_lines(file, limits)
    if file.sheet is not None:
        raise Unreadable("a sheet was chosen, but a text file has none")
    return text_lines(file.path, fits=lambda heading: has_required(heading, given))


def kind_of(file: SpreadsheetFile) -> str:
    """What the content is. Raises Unreadable if the name says something else."""
    with file.path.open("rb") as opened:
        start = opened.read(4)
    kind = STARTS.get(start, "text")
    ending = PurePath(file.filename).suffix.lower()
    if ending not in ENDINGS:
        raise Unreadable(f"a name that ends in {ending[:20]} is none of a spreadsheet (.csv, .tsv, .txt, .xlsx, .xls)")
    if kind not in ENDINGS[ending] and start:
        encrypted = "an encrypted workbook looks so too, save it without a password"
        hint = encrypted if kind == "XLS" else "rename it, or save it anew"
        raise Unreadable(f"the name ends in {ending}, but the content is {kind}; {hint}")
    return kind


def _row(line: Line, columns: Mapping[str, int], *, width: int) -> Row:
    cells = {field: line.cells[place].strip() for field, place in columns.items() if place < len(line.cells)}
    filename, recording_id = cells.get("recording_name") or None, cells.get("recording_id") or None
    ticket = {field: cells[field] for field in TICKET_FIELDS if field in cells}
    wrong: tuple[str, str] | None
    if any(cell.strip() for cell in line.cells[width:]):
        wrong = "columns", f"has {len(line.cells)} cells, the header has {width}"
    else:
        wrong = _wrong_cell(cells) or _wrong_ticket(ticket)
    if wrong:
        return Invalid(line.number, *wrong, filename if _can_be_shown(filename) else None)
    return Asked(line.number, recording_id, None if recording_id else filename, cells.get("folder") or None, ticket)


def _can_be_shown(filename: str | None) -> bool:
    return filename is not None and "\x00" not in filename and len(filename) <= LONGEST["recording_name"]


def _wrong_ticket(ticket: Mapping[str, str]) -> tuple[str, str] | None:
    if not ticket.get("ticket_id"):
        return "ticket_id", "is empty"
    try:
        TicketDetails.model_validate(ticket)
    except ValidationError as error:
        problem = broken_rules(error)[0]
        return problem.field, problem.rule
    return None


def _wrong_cell(cells: Mapping[str, str]) -> tuple[str, str] | None:
    """(field, why) of a cell that names nothing, whatever the field's own rule says."""
    if not cells.get("recording_name") and not cells.get("recording_id"):
        return "recording_name", "is empty"
    for field, cell in cells.items():
        if field in LONGEST and "\x00" in cell:
            return field, "holds a NUL character"
        if len(cell) > LONGEST.get(field, len(cell)):
            return field, f"is longer than {LONGEST[field]} characters"
        if cell.startswith("#") and FORMULA_ERROR.fullmatch(cell):
            return field, f"is the error {cell} of a spreadsheet formula"
        if field in NAMING and SHORTENED.fullmatch(cell):
            return field, f"is a number that a spreadsheet has shortened ({cell}); keep it as text"
    return None
