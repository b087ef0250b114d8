"""Reads what is typed for options: times, and places on a topic. What makes no sense is wrong use, with an example."""

import re
from collections.abc import Iterable
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


def check_between(since: str | None, until: str | None) -> None:
    """Two times as `moment` returns them. Raises WrongInput if nothing can lie between them."""
    if since and until and datetime.fromisoformat(until) <= datetime.fromisoformat(since):
        raise WrongInput(f"--until {until} is not after --since {since}: nothing lies between them")


def places(given: Iterable[str]) -> dict[int, int]:
    """Partition → offset. Raises WrongInput also for a partition that is named twice."""
    found: dict[int, int] = {}
    for partition, offset in map(place, given):
        if partition in found:
            raise WrongInput(f"partition {partition} is named twice: from {found[partition]} or from {offset}?")
        found[partition] = offset
    return found


def place(given: str) -> tuple[int, int]:
    """(partition, offset)"""
    found = _PLACE.fullmatch(given)
    if not found:
        raise WrongInput(f"{given}: a place is written as PARTITION:OFFSET, such as 3:1200")
    return int(found[1]), int(found[2])
