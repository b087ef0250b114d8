"""What a line of a spreadsheet asks for, or why it cannot be used. Values in, values out.

Nearly all lines hold short and printable text; those are seen to be good at a glance, and only of the others is asked
what is wrong with them. The glance takes nothing that the rules would not: whatever it is not sure of, they judge.
"""

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from services.linker.lines import Line

# Those of TicketDetails.
TICKET_FIELDS = ("ticket_id", "ticket_url", "customer_name", "agent_name", "call_intent", "call_outcome")
# What a spreadsheet writes in place of a value that it could not find or that it has shortened: #N/A, 1.23457E+16.
FORMULA_ERROR = re.compile(r"#(N/A|NV|[A-Z\u00c0-\u00dd0-9/]+[!?])")
SHORTENED = re.compile(r"\d([.,]\d+)?[eE]\+\d{1,3}")
NAMING = ("recording_name", "recording_id", "ticket_id")
LONGEST = {"recording_name": 500, "recording_id": 255, "folder": 500}
# No field has a shorter limit.
SHORT = 100


class Asked(NamedTuple):
    """A row that asks for a link. `ticket` holds the fields that the file has a column for, empty ones included.

    `means`: the recording that it named when the file was accepted, if there was exactly one; stored beside the rows.
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


def row_reader(columns: Mapping[str, int], *, width: int) -> Callable[[Line], Row]:
    """Reads the lines of a file with these columns (field → place), `width` of them in its heading."""
    places = tuple(columns.items())
    of_ticket = tuple((field, columns[field]) for field in TICKET_FIELDS if field in columns)

    def read(line: Line) -> Row:
        number, cells = line
        cells = [cell.strip() for cell in cells]
        filled = len(cells)
        given = {field: cells[place] for field, place in places if place < filled}
        filename, recording_id = given.get("recording_name") or None, given.get("recording_id") or None
        ticket = {field: cells[place] for field, place in of_ticket if place < filled}
        if not _is_good_at_a_glance(cells, given, width):
            if any(cells[width:]):
                wrong: tuple[str, str] | None = "columns", f"has {filled} cells, the header has {width}"
            else:
                wrong = _wrong_cell(given) or _wrong_ticket(ticket)
            if wrong:
                return Invalid(number, *wrong, filename if _can_be_shown(filename) else None)
        return Asked(number, recording_id, None if recording_id else filename, given.get("folder") or None, ticket)

    return read


def _is_good_at_a_glance(cells: list[str], given: Mapping[str, str], width: int) -> bool:
    text = "".join(cells)
    return (
        bool(given.get("ticket_id"))
        and bool(given.get("recording_name") or given.get("recording_id"))
        and not given.get("ticket_url")
        and len(cells) <= width
        and text.isprintable()
        and (len(text) <= SHORT or max(map(len, cells)) <= SHORT)
        and "#" not in text
        and "+" not in text
    )


def _can_be_shown(filename: str | None) -> bool:
    return filename is not None and "\x00" not in filename and len(filename) <= LONGEST["recording_name"]


def _wrong_ticket(ticket: Mapping[str, str]) -> tuple[str, str] | None:
    if not ticket.get("ticket_id"):
        return "ticket_id", "is empty"
    # To load the rules takes a tenth of a second, and a process that reads a file may meet no row that needs them.
    from pydantic import ValidationError  # noqa: PLC0415

    from schemas.events import TicketDetails  # noqa: PLC0415
    from schemas.rules import broken_rules  # noqa: PLC0415

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
