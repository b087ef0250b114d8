"""Statements with arrays as parameters, which are given as lists and go to PostgreSQL as text.

asyncpg takes lists itself, but asks of each element whether it is an array as well, and that takes it longer than all
else: 0.7 µs an element, against 0.15 as text. How PostgreSQL reads it: its manual, "Array Input and Output Syntax".
"""

import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import Dialect, Text, TextClause, TypeDecorator, bindparam, text

_END, _NONE = "\0,\0", "\0-\0"
_ARRAYS = re.compile(r"cast\(:(\w+) as (text|int|bigint|boolean|timestamptz|bytea)\[\]\)")


@lru_cache(maxsize=256)  # one for each statement of a store
def with_arrays(sql: str) -> TextClause:
    """The statement. Whatever it casts to an array, as in `cast(:ids as text[])`, is given as a list.

    Raises ValueError if such a parameter stands somewhere without its cast: there it would be read as one text.
    """
    casts = _ARRAYS.findall(sql)
    kinds = dict(casts)
    for name in kinds:
        if len(re.findall(rf"(?<!:):{name}\b", sql)) > sum(one == name for one, _ in casts):
            raise ValueError(f"parameter {name} is an array, but not cast to one everywhere")
    return text(sql).bindparams(*(bindparam(name, type_=_Array(kind)) for name, kind in kinds.items()))


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


_AS_TEXT: dict[str, Callable[[Any], str]] = {
    "text": _texts, "int": _numbers, "bigint": _numbers, "boolean": _flags, "timestamptz": _moments,
    "bytea": _bytes,
}  # fmt: skip


class _Array(TypeDecorator[Any]):
    impl = Text
    cache_ok = True

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ANN401, ARG002  # as SQLAlchemy has it
        return None if value is None else _AS_TEXT[self.kind](value)
