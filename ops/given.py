"""Reads what is typed for options: times, and places on a topic. What makes no sense is wrong use, with an example."""

import re
from datetime import datetime

from ops.exits import WrongInput

_PLACE = re.compile(r"(\d{1,10}):(\d{1,18})", re.ASCII)


def moment(option: str, given: str | None) -> str | None:
    """An RFC 3339 time with its offset, for a service's API; None if none was given."""
    if given is None:
        return None
    try:
        found = datetime.fromisoformat(given)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise WrongInput(f"{option} {given}: it is written with its offset, such as 2025-01-29T10:30:00Z")
    return found.isoformat()


def place(given: str) -> tuple[int, int]:
    """(partition, offset)"""
    found = _PLACE.fullmatch(given)
    if not found:
        raise WrongInput(f"{given}: a place is written as PARTITION:OFFSET, such as 3:1200")
    return int(found[1]), int(found[2])
