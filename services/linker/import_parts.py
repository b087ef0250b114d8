"""The rows of an import as they are stored: in parts of some thousand, each a JSON text, decided one part at a time.

Rows are written once, decided in the order of their lines and read in that order, never looked up one by one. As rows
of a table each would cost as much to store as the link that it asks for. In: rows as they are read, a part's text, or
what became of its rows. Out: the same the other way round.
"""

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from services.linker.first_links import first_links
from services.linker.read_row import Asked, Invalid, Row
from services.linker.target import Target
from shared.array_text import as_text


class Part(NamedTuple):
    """Rows that follow each other. `content`: as JSON, those that are invalid, and a list for each column of the rest.
    `asked`: the same as the texts of arrays (see shared/array_text.py): what each names, and its first link.

    `outcomes`: what became of the rows, if none of them asks for a link: that is known before anything is linked.
    """

    last_line: int
    rows: int
    content: str
    asked: Mapping[str, str]
    outcomes: "Outcomes | None"


class Decided(NamedTuple):
    """What became of a row."""

    line: int
    outcome: str
    recording_id: str | None
    detail: Mapping[str, Any]


class Outcomes(NamedTuple):
    """What became of the rows of a part, as JSON, and how many came to what.

    A row that is left out became its recording's first link: nearly all do, and nothing else is to be said of them.
    """

    content: str
    counts: str
    need_a_look: int


FIRST = {"link_version": 1}
_TICKET = Asked._fields.index("ticket")
NEEDS_A_LOOK = ("ambiguous", "invalid")


def lots_of(rows: Iterator[Row], *, folder: str | None, size: int) -> Iterator[list[Row]]:
    """The rows in lots of `size`. A row by name that names no folder is in `folder`, that of the import."""
    while lot := list(islice(rows, size)):
        yield [_in_folder(row, folder) for row in lot]


def part_of(rows: Sequence[Row]) -> Part:
    """The rows as they are stored."""
    asked = [row for row in rows if isinstance(row, Asked)]
    invalid = [row for row in rows if isinstance(row, Invalid)]
    targets = [Target(row.recording_id, row.filename, row.folder) for row in asked]
    tickets = to_json([row.ticket for row in asked]).decode()
    links = first_links(asked, tickets)
    columns = {
        "lines": as_text("int", [row.line for row in asked]),
        "ids": as_text("text", [one.recording_id for one in targets]),
        "names": as_text("text", [one.name_key for one in targets]),
        "have_extensions": as_text("boolean", [one.has_extension for one in targets]),
        "folders": as_text("text", [one.folder for one in targets]),
        "tickets": as_text("text", links.tickets),
        "ticket_ids": as_text("text", [row.ticket["ticket_id"] for row in asked]),
        "shown": as_text("text", links.shown),
    }
    named = [[row[place] for row in asked] for place in range(_TICKET)]
    content = f"{to_json([invalid, *named])[:-1].decode()},{tickets}]"
    outcomes = None if asked else outcomes_of(map(_invalid, invalid))
    return Part(rows[-1].line, len(rows), content, columns, outcomes)


def rows_of(content: str, means: Mapping[int, str]) -> list[Row]:
    """The rows of a part. `means`: line → the recording that it named."""
    invalid, *asked = from_json(content)
    rows: list[Row] = [Asked._make((*row, means.get(row[0]))) for row in zip(*asked, strict=True)]
    return sorted(rows + [Invalid(*row) for row in invalid], key=attrgetter("line")) if invalid else rows


def split(
    rows: Sequence[Row], replaced: Mapping[str, int], *, leave: Collection[int] = ()
) -> tuple[list[Asked], list[Decided]]:
    """Rows that are to be linked, and what became of the others, but for the lines to `leave`.

    `replaced`: line → a later one of the same name; those are never left.
    """
    asked: list[Asked] = []
    decided: list[Decided] = []
    for row in rows:
        if isinstance(row, Invalid):
            decided.append(_invalid(row))
        elif (last := replaced.get(str(row.line))) is not None:
            decided.append(Decided(row.line, "duplicate", row.means or row.recording_id, {"replaced_by_line": last}))
        elif row.line not in leave:
            asked.append(row)
    return asked, decided


def outcomes_of(decided: Iterable[Decided], *, first_links: int = 0) -> Outcomes:
    """What became of the rows of a part, in order of their lines; so many others became first links."""
    ordered = sorted(decided)
    counts = Counter(one.outcome for one in ordered)
    if first_links:
        counts["matched"] += first_links
    return Outcomes(to_json(ordered).decode(), json.dumps(counts), sum(counts[one] for one in NEEDS_A_LOOK))


def decided_rows(content: str, means: Mapping[int, str], outcomes: str) -> Iterator[tuple[Row, Decided]]:
    """The rows of a part, each with what became of it."""
    told = {one[0]: Decided(*one) for one in from_json(outcomes)}
    for row in rows_of(content, means):
        yield row, told.get(row.line) or Decided(row.line, "matched", getattr(row, "means", None), FIRST)


def _invalid(row: Invalid) -> Decided:
    return Decided(row.line, "invalid", None, {"field": row.field, "message": row.message})


def _in_folder(row: Row, folder: str | None) -> Row:
    if isinstance(row, Invalid):
        return row
    if row.recording_id is not None:
        return row._replace(folder=None) if row.folder is not None else row
    return row._replace(folder=folder) if row.folder is None and folder is not None else row
