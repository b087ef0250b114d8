"""Statements with arrays as parameters, which are given as lists and go to PostgreSQL as text.

asyncpg takes lists itself, but asks of each element whether it is an array as well, and that takes it longer than all
else: 0.7 µs an element, against 0.15 as text. Of any array but one of texts it asks PostgreSQL first what that is, once
for each connection, which takes 5 ms.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Any, NamedTuple

from sqlalchemy import Dialect, Text, TextClause, TypeDecorator, bindparam, text

from shared.array_text import as_text

_ARRAYS = re.compile(r"cast\(:(\w+) as (text|int|bigint|boolean|timestamptz|bytea|uuid)\[\]\)")


@lru_cache(maxsize=256)  # one for each statement of a store
def with_arrays(sql: str) -> TextClause:
    """The statement. Whatever it casts to an array, as in `cast(:ids as text[])`, is given as a list, or as its text.

    Raises ValueError if such a parameter stands somewhere without its cast: there it would be read as one text.
    """
    casts = _ARRAYS.findall(sql)
    kinds = dict(casts)
    for name in kinds:
        if len(re.findall(rf"(?<!:):{name}\b", sql)) > sum(one == name for one, _ in casts):
            raise ValueError(f"parameter {name} is an array, but not cast to one everywhere")
    return text(sql).bindparams(*(bindparam(name, type_=_Array(kind)) for name, kind in kinds.items()))


class Joined(NamedTuple):
    """Values as one of bytes, and of each where it begins, counted from 1 as PostgreSQL does, and its length."""

    content: bytes
    begins: list[int]
    lengths: list[int]


def joined(values: Sequence[bytes]) -> Joined:
    """One behind the other, for `substring(… from … for …)`: an array's text would double bytes and escape quotes."""
    lengths = [len(one) for one in values]
    return Joined(b"".join(values), list(accumulate(lengths, initial=1))[:-1], lengths)


def json_lines(values: Sequence[bytes]) -> str:
    """Values in JSON, one a line, for `string_to_array(…, chr(10))`: an array's text would escape each of their quotes.

    Raises ValueError if one of them holds a line feed, which JSON made here never does: PostgreSQL would take them
    apart otherwise than they were put together.
    """
    text = b"\n".join(values).decode()
    if text.count("\n") != max(len(values) - 1, 0):
        raise ValueError("a value is more than a line")
    return text


class _Array(TypeDecorator[Any]):
    impl = Text
    cache_ok = True

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ANN401, ARG002  # as SQLAlchemy has it
        return value if value is None or isinstance(value, str) else as_text(self.kind, value)
