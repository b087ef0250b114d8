"""Cursors of lists: where the next page goes on, as one word that callers hand back and need not understand.

A cursor names the order that it belongs to. One that was made by nobody, or for a list in another order, is refused
instead of giving a page of something else.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from pydantic import Field

MAX_CHARS = 4_000

Cursor = Annotated[str, Field(max_length=MAX_CHARS, description="`next_cursor` of the page before, for the same list")]


class UnknownCursor(Exception):
    """No list in this order has given this cursor."""


def cursor_of(order: str, place: Sequence[str]) -> str:
    """The cursor for what comes after `place`."""
    return urlsafe_b64encode(json.dumps([order, *place], separators=(",", ":")).encode()).decode().rstrip("=")


def place_of(cursor: str, order: str, *, parts: int) -> list[str] | None:
    """The place that a cursor stands for; None, of an empty one: the beginning. Raises UnknownCursor."""
    if not cursor:
        return None
    try:
        found = json.loads(urlsafe_b64decode((cursor + "=" * (-len(cursor) % 4)).encode("ascii")))
    except (Error, ValueError, RecursionError):
        raise UnknownCursor from None
    if not isinstance(found, list) or len(found) != parts + 1 or not all(_usable(one) for one in found):
        raise UnknownCursor
    if found[0] != order:
        raise UnknownCursor
    return found[1:]


def moment_of(part: str) -> datetime:
    """The moment that a part of a place names, as its isoformat() in UTC. Raises UnknownCursor."""
    try:
        moment = datetime.fromisoformat(part)
    except ValueError:
        raise UnknownCursor from None
    if moment.utcoffset() is None or moment.utcoffset():
        raise UnknownCursor
    return moment


def _usable(part: object) -> bool:
    """Text that PostgreSQL takes: no NUL, no half of a character."""
    return isinstance(part, str) and not re.search("[\x00\ud800-\udfff]", part)
