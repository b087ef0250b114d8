"""Rows whose recording was known when their file was accepted: what their links are if the recordings have none yet.

A recording's first link needs no decision. Of its ticket everything is known when the file is read but the day of the
call, which is the recording's, and the moment of linking; PostgreSQL then makes the links of a whole part in one
statement (store_first_links.py). Whatever has a link when its turn comes is decided like any other request.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic_core import to_json

from services.linker.display_name import shown_name
from services.linker.read_row import Asked

_BETWEEN = "},{"


class FirstLinks(NamedTuple):
    """What rows have of them, each in its place. `tickets`: TicketInfo as JSON, up to the fields that a row does not
    say, `shown`: its display name but for the day. None: nothing is left of what makes the name, so that it is the
    recording's filename.
    """

    tickets: Sequence[str | None]
    shown: Sequence[str | None]


def first_links(rows: Sequence[Asked], tickets: str) -> FirstLinks:
    """The links of these rows, if they are the first of their recordings. `tickets`: theirs, as JSON."""
    shown = [shown_name(row.ticket["ticket_id"], row.ticket.get("customer_name")) or None for row in rows]
    if '""' in tickets:
        tickets = to_json([_filled(row.ticket) for row in rows]).decode()
    if tickets.count(_BETWEEN) == len(rows) - 1:
        # All are written at once and taken apart: each by itself takes twice as long.
        each = [f'{{"{one}"' for one in tickets.removeprefix('[{"').removesuffix('"}]').split(f'"{_BETWEEN}"')]
    else:
        # What stands between two of them stands in a cell as well, or there is none.
        each = [to_json(_filled(row.ticket))[:-1].decode() for row in rows]
    return FirstLinks([one if name else None for one, name in zip(each, shown, strict=True)], shown)


def _filled(ticket: Mapping[str, str]) -> dict[str, str]:
    return {field: cell for field, cell in ticket.items() if cell}


def linked_at(moment: datetime) -> str:
    """What such a ticket ends with: when it was linked. Rule: cloud contract, 'linked_at' has whole seconds."""
    return f',"linked_at":{to_json(moment.replace(microsecond=0)).decode()}}}'
