"""What a command prints: results on stdout, everything else on stderr.

With --json stdout holds one JSON value and nothing more, so a script can read it whatever is said beside it. Tables
fit into 100 columns; names come from strangers, so they are shown without markup and without control characters. rich
leaves colours and movement out where there is no terminal, and colours where NO_COLOR is set.
"""

import json
import os
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from rich.progress import Progress

WIDTH_COLUMNS = 100
KILO = 1024
UUID_CHARS = 36
# Stands for what only a server knows that does not answer; what there is none of is shown as -.
UNKNOWN = "?"


def out() -> Console:
    """Stdout, for results."""
    return _console(stderr=False)


def notes() -> Console:
    """Stderr, for progress, notes and errors."""
    return _console(stderr=True)


def as_json(value: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
    """The one JSON value of a command; ops/json_stream.py writes one that is longer than memory."""
    sys.stdout.write(json_text(value, indent=2) + "\n")


def json_text(value: Any, *, indent: int | None = None) -> str:  # noqa: ANN401 - whatever JSON can hold
    """JSON that stdout can take, whatever its encoding."""
    readable = (sys.stdout.encoding or "").lower() in {"utf-8", "utf8"}
    return json.dumps(value, ensure_ascii=not readable, indent=indent)


def note(message: str) -> None:
    """A line for the person who watches; it may start with a coloured word of ours, never with foreign text."""
    notes().print(plain(message), highlight=False, soft_wrap=True)


def more(limit: int) -> None:
    """That a list has more than is shown."""
    note(f"There are more: --limit was {limit:,}.")


def error(message: str, todo: str = "") -> None:
    """Why the command stops, and what to do about it."""
    console = notes()
    console.print(Text("ticketsync: ", "bold red") + plain(message), highlight=False, soft_wrap=True)
    if todo:
        console.print(plain(todo), highlight=False, soft_wrap=True)


def table(
    columns: Sequence[str],
    rows: Iterable[Sequence[object]],
    *,
    title: str = "",
    ids: Collection[str] = (),
    silent: Collection[str] = (),
) -> None:
    """Print `table_of`; that there is nothing in it is said, as far as that is known: `silent` were asked as well."""
    rows = list(rows)
    out().print(table_of(columns, rows, title=title, ids=ids))
    if not rows:
        note("Those that answer have nothing to list." if silent else "There is nothing to list.")


def table_of(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", ids: Collection[str] = ()
) -> RenderableType:
    """Rows under headings; numbers stand to the right, long values are folded, never cut.

    `ids`: columns of what is copied into the next command; a UUID stays on one line there.
    """
    rows = list(rows)
    shown = Table(box=None, pad_edge=False)
    for index, column in enumerate(columns):
        numbers = bool(rows) and all(isinstance(row[index], int) or row[index] == UNKNOWN for row in rows)
        longest = max((len(str(row[index])) for row in rows), default=0)
        shown.add_column(
            column,
            justify="right" if numbers else "left",
            overflow="fold",
            header_style="bold",
            no_wrap=column in ids and longest <= UUID_CHARS,
        )
    for row in rows:
        shown.add_row(*(plain(in_words(value)) for value in row))
    return _under(title, shown)


def pairs(values: Mapping[str, object], *, title: str = "") -> None:
    """Print `pairs_of`."""
    out().print(pairs_of(values, title=title))


def pairs_of(values: Mapping[str, object], *, title: str = "") -> RenderableType:
    """Names and values, one pair a line."""
    shown = Table(box=None, pad_edge=False, show_header=False)
    shown.add_column(style="bold", no_wrap=True)
    shown.add_column(overflow="fold")
    for name, value in values.items():
        shown.add_row(plain(name), plain(in_words(value)))
    return _under(title, shown)


def progress() -> "Progress":
    """A progress bar on stderr; it moves only on a terminal."""
    # On demand: whoever only looks needs none.
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
    )

    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=notes()
    )


def duration(seconds: float) -> str:
    """In two units at most: 5 s, 3 min 20 s, 2 h 5 min, 12 d 3 h."""
    whole = max(0, round(seconds))
    for large, unit, small, rest in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min"), (60, "min", 1, "s")):
        if whole >= large:
            return f"{whole // large:,} {unit} {whole % large // small} {rest}"
    return f"{whole} s"


def moment(at: datetime) -> str:
    """A time in UTC as tables show it."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def size(size_bytes: int) -> str:
    """1024-based: 512 B, 1.5 KB, 2.3 GB."""
    amount = float(size_bytes)
    for unit in ("B", "KB", "MB", "GB"):
        if amount < KILO:
            return f"{amount:.0f} B" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= KILO
    return f"{amount:,.1f} TB"


def plain(text: str) -> Text:
    """Text as it is: no markup, and no control character that would steer the terminal."""
    return Text("".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text))


def known(value: object) -> object:
    """A value as it is; None stands for one that nobody has told."""
    return UNKNOWN if value is None else value


def in_words(value: object) -> str:
    """A value as tables show it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case int():
            return f"{value:,}"
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
        case _:
            return str(value)


def _under(title: str, shown: Table) -> RenderableType:
    """A title on a line of its own: rich would fold it at the width of the table, which may be narrow."""
    return Group(Text(plain(title).plain, "italic"), shown) if title else shown


def _console(*, stderr: bool) -> Console:
    # Made anew each time, as whoever runs commands in one process (tests) exchanges sys.stdout between them.
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or os.environ.get("COLUMNS") else WIDTH_COLUMNS
    return Console(file=stream, width=width)
