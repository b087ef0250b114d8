"""Reads a spreadsheet: a file in, rows of named fields out, each with the number of its line.

In: CSV, XLSX or XLS; what it is, its content says, and a name that says something else is refused. Out: a row per line
that is not blank, read as they are asked for: what it asks for, or why it cannot be used. Limits count while reading.
"""

from collections.abc import Iterator, Mapping
from pathlib import PurePath

from services.linker.lines import Limits, Lines, SpreadsheetFile, Unreadable
from services.linker.map_columns import has_required, map_columns
from services.linker.read_row import Row, row_reader
from services.linker.text_lines import text_lines
from services.linker.workbook_lines import workbook_lines

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


def read_rows(file: SpreadsheetFile, limits: Limits, *, given: Mapping[str, str] | None = None) -> Iterator[Row]:
    """Every row of the file; `given`: field → column's name. Raises Unreadable; the whole file is refused then."""
    lines = lines_of(file, limits, given or {})
    heading = next((line for line in lines if not line.is_blank), None)
    if heading is None:
        raise Unreadable("the file is empty")
    read = row_reader(map_columns(heading.cells, given, line=heading.number), width=len(heading.cells))
    found = 0
    for line in lines:
        if line.is_blank:
            continue
        found += 1
        if found > limits.max_rows:
            raise Unreadable(
                f"line {line.number}: more than {limits.max_rows:,} rows (IMPORT_MAX_ROWS); nothing was imported"
            )
        yield read(line)
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
