"""The rows of an import as they are stored: in parts of some thousand, each a JSON text, decided one part at a time.

Rows are written once, decided in the order of their lines and read in that order, never looked up one by one. As rows
of a table each would cost as much to store as the link that it asks for. In: rows as they are read, a part's text, or
what became of its rows. Out: the same the other way round.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from pydantic_core import from_json, to_json

from services.linker.decisions import KnownRecording, Target
from services.linker.first_links import FirstLinks, first_links
from services.linker.read_row import Asked, Invalid, Row


class Part(NamedTuple):
    """Rows that follow each other, as JSON; `keys`: of those that ask for a link, what each names.

    `first`: the links of those whose recordings are known, if they are the first. `outcomes`: what became of the rows,
    if none of them asks for a link: that is known before anything is linked.
    """

    last_line: int
    rows: int
    content: str
    keys: Mapping[int, str]
    first: FirstLinks
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
NEEDS_A_LOOK = ("ambiguous", "invalid")


def lots_of(rows: Iterator[Row], *, folder: str | None, size: int) -> Iterator[list[Row]]:
    """The rows in lots of `size`. A row by name that names no folder is in `folder`, that of the import."""
    while lot := list(islice(rows, size)):
        yield [_in_folder(row, folder) for row in lot]


def part_of(lot: Sequence[Row], meant: Mapping[int, KnownRecording]) -> Part:
    """The lot as it is stored. `meant`: line → the recording that its row names, of those that name exactly one."""
    rows = [_meaning(row, recording) if (recording := meant.get(row.line)) else row for row in lot]
    asked = {row.line: _key(row) for row in rows if isinstance(row, Asked)}
    first = first_links((row, meant[row.line]) for row in rows if isinstance(row, Asked) and row.means)
    outcomes = None if asked else outcomes_of(_invalid(row) for row in rows if isinstance(row, Invalid))
    return Part(rows[-1].line, len(rows), to_json(rows).decode(), asked, first, outcomes)


def rows_of(content: str) -> list[Row]:
    """The rows of a part."""
    return [Asked(*row) if len(row) == len(Asked._fields) else Invalid(*row) for row in from_json(content)]


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


def decided_rows(content: str, outcomes: str) -> Iterator[tuple[Row, Decided]]:
    """The rows of a part, each with what became of it."""
    told = {one[0]: Decided(*one) for one in from_json(outcomes)}
    for row in rows_of(content):
        yield row, told.get(row.line) or Decided(row.line, "matched", getattr(row, "means", None), FIRST)


def _invalid(row: Invalid) -> Decided:
    return Decided(row.line, "invalid", None, {"field": row.field, "message": row.message})


def _meaning(row: Row, recording: KnownRecording) -> Row:
    return Asked(*row[:5], recording.recording_id) if isinstance(row, Asked) else row


def _in_folder(row: Row, folder: str | None) -> Row:
    if isinstance(row, Invalid):
        return row
    if row.recording_id is not None:
        return row._replace(folder=None) if row.folder is not None else row
    return row._replace(folder=folder) if row.folder is None and folder is not None else row


def _key(row: Asked) -> str:
    """The same of two rows that name the same recording, in whatever way: the later of them counts."""
    if recording_id := row.means or row.recording_id:
        return f"id {recording_id}"
    named = to_json((row.folder, Target(filename=row.filename).name_key))
    return hashlib.blake2b(named, digest_size=16).hexdigest()
