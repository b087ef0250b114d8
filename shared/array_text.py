"""Lists in the form in which PostgreSQL takes arrays as text.

How PostgreSQL reads it: its manual, "Array Input and Output Syntax". Apart from shared/arrays.py because a process
without a database makes some as well.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

_END, _NONE = "\0,\0", "\0-\0"


def as_text(kind: str, values: Any) -> str:  # noqa: ANN401  # a list of whatever `kind` is in Python
    """An array of this type of PostgreSQL."""
    return _AS_TEXT[kind](values)


def _texts(values: Sequence[str | None]) -> str:
    """An array of text. All of it is escaped at once: no text that PostgreSQL takes holds a NUL, so they mark ends."""
    joined = _END.join([_NONE if one is None else one for one in values])
    if joined.count("\0") != 2 * (max(len(values) - 1, 0) + values.count(None)):
        # One of them holds a NUL of its own; PostgreSQL refuses that, as it refuses such a text by itself.
        return joined
    escaped = joined.replace("\\", "\\\\").replace('"', '\\"').replace(_END, '","')
    return f'{{"{escaped}"}}'.replace(f'"{_NONE}"', "NULL") if values else "{}"


def _numbers(values: Iterable[int | None]) -> str:
    """An array of int or bigint."""
    return f"{{{','.join(map(str, values)).replace('None', 'NULL')}}}"


def _flags(values: Iterable[bool]) -> str:
    """An array of boolean."""
    return f"{{{','.join(['t' if one else 'f' for one in values])}}}"


def _moments(values: Sequence[datetime | None]) -> str:
    """An array of timestamptz, of aware times."""
    written = {one: f'"{one.isoformat()}"' if one else "NULL" for one in set(values)}
    return f"{{{','.join([written[one] for one in values])}}}"


def _bytes(values: Iterable[bytes | None]) -> str:
    """An array of bytea. The backslash before its x is itself escaped, as in any quoted element."""
    return "{" + ",".join(["NULL" if one is None else '"\\\\x' + one.hex() + '"' for one in values]) + "}"


def _uuids(values: Iterable[UUID]) -> str:
    """An array of uuid."""
    return f"{{{','.join(map(str, values))}}}"


_AS_TEXT: dict[str, Callable[[Any], str]] = {
    "text": _texts, "int": _numbers, "bigint": _numbers, "boolean": _flags, "timestamptz": _moments,
    "bytea": _bytes, "uuid": _uuids,
}  # fmt: skip
