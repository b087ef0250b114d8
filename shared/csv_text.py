"""Tables as CSV that no spreadsheet runs anything of.

A spreadsheet runs a cell that begins like a formula, and what a stranger put into a file could then send away what else
is in the sheet. Such cells get an apostrophe in front, which spreadsheets take for "this is text".
"""

import csv
import io
from collections.abc import Iterable

# The same signs in full width are formulas to some programs as well.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "\N{FULLWIDTH EQUALS SIGN}", "\N{FULLWIDTH PLUS SIGN}",
                  "\N{FULLWIDTH HYPHEN-MINUS}", "\N{FULLWIDTH COMMERCIAL AT}")  # fmt: skip


def as_csv(rows: Iterable[Iterable[object]]) -> str:
    """The rows as lines of CSV; None is an empty cell."""
    text = io.StringIO()
    csv.writer(text).writerows([neutral(cell) for cell in row] for row in rows)
    return text.getvalue()


def neutral(cell: object) -> str:
    """The cell as text that is not taken for a formula."""
    text = "" if cell is None else str(cell)
    return f"'{text}" if text.startswith(FORMULA_STARTS) or text.lstrip().startswith(FORMULA_STARTS) else text
