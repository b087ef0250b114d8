"""A spreadsheet as the parts in which its rows are stored; also as a process: `python -m services.linker.read_parts`.

In: what to read and how, for a process as JSON. Out: part after part, from a process on its stdout, each as JSON behind
its length; behind the last comes an empty one, or in place of it why the file cannot be read.
"""

import gc
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from struct import Struct
from typing import NamedTuple

from pydantic_core import from_json, to_json

from services.linker.import_parts import Outcomes, Part, lots_of, part_of
from services.linker.lines import Limits, SpreadsheetFile, Unreadable
from services.linker.read_spreadsheet import read_rows

LENGTH = Struct("<I")


class Order(NamedTuple):
    """`given`: field → column's name; `folder`: that of rows which name none; `size`: rows of a part."""

    file: SpreadsheetFile
    limits: Limits
    given: Mapping[str, str]
    folder: str | None
    size: int


def read_parts(order: Order) -> Iterator[Part]:
    """The parts of the file. Raises Unreadable, whatever was read before."""
    rows = read_rows(order.file, order.limits, given=order.given)
    return map(part_of, lots_of(rows, folder=order.folder, size=order.size))


def order_as_json(order: Order) -> str:
    """What the process is told."""
    return to_json(order).decode()


def part_from_json(said: bytes) -> Part:
    """What it says of a part. Raises Unreadable."""
    read = from_json(said)
    if isinstance(read, str):
        raise Unreadable(read)
    part = Part(*read)
    return part._replace(outcomes=Outcomes(*part.outcomes)) if part.outcomes else part


def _order_from_json(said: str) -> Order:
    file, limits, given, folder, size = from_json(said)
    return Order(SpreadsheetFile(**file | {"path": Path(file["path"])}), Limits(**limits), given, folder, size)


def _say(said: bytes) -> None:
    sys.stdout.buffer.write(LENGTH.pack(len(said)) + said)


def main(order: str) -> None:
    """Read this."""
    gc.disable()  # rows hold no cycles, and to look for some takes a third of the time
    try:
        for part in read_parts(_order_from_json(order)):
            _say(to_json(part))
    except Unreadable as error:
        _say(to_json(str(error)))
    else:
        _say(b"")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
