"""Reads a spreadsheet: bytes in, rows of named fields out, each with the number of its line.

In: a CSV file in UTF-8 (with or without BOM), UTF-16 or Windows-1252, with comma, semicolon, tab or bar. Out: a row per
line that is not blank: what it asks for, or why it cannot be used. Column names are compared after lower-casing and
dropping all but letters and digits; only an exact match counts. Nothing here blocks or stores.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pydantic import ValidationError

from schemas.events import TicketDetails

# Names of a field in the order in which they are looked for.
NAMES = {
    "recording_name": (
        "recording_name", "recording_filename", "filename", "file_name", "file", "recording", "audio_file",
    ),
    "ticket_id": ("ticket_id", "ticket", "ticket_number", "case_id", "id"),
    "customer_name": ("customer_name", "customer", "client_name", "client", "name"),
    "agent_name": ("agent_name", "agent", "staff_name", "staff", "employee"),
    "call_intent": ("call_intent", "intent", "call_purpose", "purpose", "reason", "type"),
    "call_outcome": ("call_outcome", "outcome", "result", "resolution", "status"),
    "ticket_url": ("ticket_url", "url", "ticket_link", "link"),
    "folder": ("folder", "folder_name", "batch"),
    "recording_id": ("recording_id", "recording_uuid"),
}  # fmt: skip
REQUIRED = ("recording_name", "ticket_id")
TICKET_FIELDS = tuple(TicketDetails.model_fields)
DELIMITERS = ",;\t|"
LONGEST_CELL = 1_000_000
LONGEST = {"recording_name": 500, "recording_id": 255, "folder": 500}


class Unreadable(Exception):
    """The file cannot be read or its columns cannot be mapped; the message is for the person who sent it."""


@dataclass(frozen=True)
class Asked:
    """A row that asks for a link. `ticket` holds the fields that the file has a column for, empty ones included."""

    line: int
    recording_id: str | None
    filename: str | None
    folder: str | None
    ticket: dict[str, str]


@dataclass(frozen=True)
class Invalid:
    """A row that cannot be used."""

    line: int
    field: str
    message: str


def read_csv(content: bytes, *, max_rows: int) -> list[Asked | Invalid]:
    """Every row of the file. Raises Unreadable; the whole file is refused then."""
    text = _decoded(content)
    header_line = next((line for line in re.split(r"[\r\n]+", text) if line.strip(DELIMITERS + " ")), None)
    if header_line is None:
        raise Unreadable("the file is empty")
    delimiter = max(DELIMITERS, key=header_line.count)
    csv.field_size_limit(LONGEST_CELL)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        return list(_rows(reader, max_rows=max_rows))
    except csv.Error as error:
        raise Unreadable(f"line {reader.line_num}: {error}") from error


def _rows(reader, *, max_rows: int) -> Iterator[Asked | Invalid]:  # type: ignore[no-untyped-def]  # noqa: ANN001
    header = next((cells for cells in reader if any(cell.strip() for cell in cells)), None)
    if header is None:
        raise Unreadable("the file is empty")
    columns = map_columns(header)
    found = 0
    before = reader.line_num
    for cells in reader:
        line, before = before + 1, reader.line_num
        if not any(cell.strip() for cell in cells):
            continue
        found += 1
        if found > max_rows:
            raise Unreadable(f"more than {max_rows} rows (IMPORT_MAX_ROWS); nothing was imported")
        yield _row(line, {field: cells[place].strip() for field, place in columns.items() if place < len(cells)})
    if not found:
        raise Unreadable("the file has a header but no rows")


def map_columns(header: Sequence[str]) -> dict[str, int]:
    """Field → place of its column; one column serves one field. Raises Unreadable if a required one is missing."""
    places: dict[str, int] = {}
    for place, name in enumerate(header):
        places.setdefault(_compared(name), place)
    columns: dict[str, int] = {}
    for field, names in NAMES.items():
        found = next((places[_compared(one)] for one in names if _compared(one) in places), None)
        if found is not None and found not in columns.values():
            columns[field] = found
    missing = [field for field in REQUIRED if field not in columns]
    if "recording_name" in missing and "recording_id" in columns:
        missing.remove("recording_name")
    if missing:
        wanted = "; ".join(f"{field} (as {', '.join(NAMES[field])})" for field in missing)
        raise Unreadable(f"no column for {wanted}")
    return columns


def _row(line: int, cells: dict[str, str]) -> Asked | Invalid:
    filename, recording_id = cells.get("recording_name") or None, cells.get("recording_id") or None
    if not filename and not recording_id:
        return Invalid(line, "recording_name", "is empty")
    for field, longest in LONGEST.items():
        if "\x00" in cells.get(field, ""):
            return Invalid(line, field, "holds a NUL character")
        if len(cells.get(field, "")) > longest:
            return Invalid(line, field, f"is longer than {longest} characters")
    ticket = {field: cells[field] for field in TICKET_FIELDS if field in cells}
    if not ticket.get("ticket_id"):
        return Invalid(line, "ticket_id", "is empty")
    try:
        TicketDetails.model_validate(ticket)
    except ValidationError as error:
        problem = error.errors()[0]
        return Invalid(line, str(problem["loc"][0]), str(problem["msg"]))
    return Asked(line, recording_id, None if recording_id else filename, cells.get("folder") or None, ticket)


def _compared(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def _decoded(content: bytes) -> str:
    if content[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        return _decode(content, "utf-16")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return _decode(content, "cp1252")


def _decode(content: bytes, encoding: str) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise Unreadable("the file is neither UTF-8, UTF-16 nor Windows-1252 text") from error
