"""What every kind of spreadsheet becomes: lines of cells, each with its number, or one message why not.

Whoever reads a file raises Unreadable and nothing else, however broken or hostile the file is: its message goes to the
person who sent it, and the whole file is refused before anything of it is imported.
"""

from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

COLUMNS_MAX = 1_000
CELL_MAX_CHARS = 10_000_000


class Unreadable(Exception):
    """The file cannot be read or its columns cannot be mapped; the message is for the person who sent it."""


class Line(NamedTuple):
    """One row of the sheet as it stands there; `number` is the line on which it begins, counted from 1."""

    number: int
    cells: list[str]

    @property
    def is_blank(self) -> bool:
        """Nothing but spaces in it."""
        return not any(map(str.strip, self.cells))


@dataclass(frozen=True)
class SpreadsheetFile:
    """A file to read. `filename`: what its sender calls it; `sheet`: the sheet of a workbook, else its first."""

    path: Path
    filename: str
    sheet: str | None = None


@dataclass(frozen=True)
class Limits:
    """How much of a file is read at most. The bytes are those of a workbook when unpacked, and of its reader."""

    max_rows: int
    max_unpacked_bytes: int
    max_memory_bytes: int


# To be closed by whoever does not read to the end.
Lines = Generator[Line, None, None]
