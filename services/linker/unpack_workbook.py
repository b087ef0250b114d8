"""The process that turns one sheet of a workbook into CSV, under limits: `python -m services.linker.unpack_workbook`.

Each line of the CSV begins with the number of its row in the sheet; blank rows are left out. Ends with 0, or with
EXIT_UNREADABLE and the reason on stdout; anything else is a crash or a limit, which `workbook_lines` puts into words.
"""

import csv
import resource
import sys
from datetime import date, datetime, time
from pathlib import Path

from python_calamine import (
    CalamineError,
    CalamineSheet,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
    ZipError,
)

from services.linker.check_workbook import check_workbook
from services.linker.lines import CELL_MAX_CHARS, COLUMNS_MAX, Unreadable
from services.linker.workbook_lines import EXIT_UNREADABLE, TIME_LIMIT_S

ZIP = b"PK"
# What an encrypted XLSX is: a container of another kind, with a stream of this name.
ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
WHOLE_MAX = 1e15
WRITTEN_MAX_FACTOR = 2


def main(source: str, target: str, max_unpacked_bytes: str, max_memory_bytes: str, sheet: str | None = None) -> int:
    """The exit code."""
    limit_bytes = int(max_memory_bytes)
    resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, limit_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (int(TIME_LIMIT_S), int(TIME_LIMIT_S) + 5))
    written_bytes = WRITTEN_MAX_FACTOR * int(max_unpacked_bytes)
    resource.setrlimit(resource.RLIMIT_FSIZE, (written_bytes, written_bytes))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        unpack(Path(source), Path(target), sheet=sheet, max_unpacked_bytes=int(max_unpacked_bytes))
    except Unreadable as error:
        sys.stdout.buffer.write(str(error).encode(errors="replace"))
        return EXIT_UNREADABLE
    return 0


def unpack(source: Path, target: Path, *, sheet: str | None, max_unpacked_bytes: int) -> None:
    """Write the sheet's rows to `target`. Raises Unreadable."""
    with source.open("rb") as file:
        start = file.read(len(ZIP))
    if start == ZIP:
        check_workbook(source, max_unpacked_bytes=max_unpacked_bytes)
    elif ENCRYPTED in source.read_bytes():
        raise Unreadable("the workbook is encrypted; save it without a password")
    try:
        with CalamineWorkbook.from_path(source) as workbook:
            _write(_chosen(workbook, sheet), target)
    except PasswordError as error:
        raise Unreadable("the workbook is encrypted; save it without a password") from error
    except (CalamineError, ZipError, ValueError, OSError) as error:
        raise Unreadable(f"the workbook is damaged: {error}") from error


def _chosen(workbook: CalamineWorkbook, sheet: str | None) -> CalamineSheet:
    names = [one.name for one in workbook.sheets_metadata if one.typ == SheetTypeEnum.WorkSheet]
    shown = [one.name for one in workbook.sheets_metadata if one.visible == SheetVisibleEnum.Visible]
    if not names:
        raise Unreadable("the workbook has no sheet with cells")
    if sheet is None:
        return workbook.get_sheet_by_name(next((one for one in names if one in shown), names[0]))
    if sheet not in names:
        raise Unreadable(f"the workbook has no sheet {sheet!r}; it has {', '.join(map(repr, names[:20]))}")
    return workbook.get_sheet_by_name(sheet)


def _write(sheet: CalamineSheet, target: Path) -> None:
    if sheet.width > COLUMNS_MAX:
        raise Unreadable(f"line 1: the sheet has {sheet.width:,} columns; at most {COLUMNS_MAX:,} are read")
    with target.open("w", encoding="utf-8", errors="replace", newline="") as text:
        writer = csv.writer(text)
        for number, row in enumerate(sheet.iter_rows(), start=1):
            cells = [as_text(value) for value in row]
            if max(map(len, cells), default=0) > CELL_MAX_CHARS:
                raise Unreadable(f"line {number}: a cell is longer than {CELL_MAX_CHARS:,} characters")
            if any(cells):
                writer.writerow([number, *cells])


def as_text(value: object) -> str:
    """A cell as a person reads it: a whole number without decimals, a date as ISO 8601."""
    match value:
        case bool():
            return "TRUE" if value else "FALSE"
        case float() if value.is_integer() and abs(value) < WHOLE_MAX:
            return str(int(value))
        case datetime() | date() | time():
            return value.isoformat()
        case _:
            return str(value)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
