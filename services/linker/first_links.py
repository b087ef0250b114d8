"""Rows whose recording was known when their file was accepted: what their links are if the recordings have none yet.

A recording's first link needs no decision. Of its ticket everything is known when the file is read but the day of the
call, which is the recording's, and the moment of linking; PostgreSQL then makes the links of a whole part in one
statement (store_first_links.py). Whatever has a link when its turn comes is decided like any other request.
"""

from datetime import datetime
from typing import NamedTuple

from pydantic_core import to_json

from services.linker.display_name import shown_name
from services.linker.read_row import Asked


class FirstLink(NamedTuple):
    """What a row has of it. `ticket`: TicketInfo as JSON, up to the fields that it does not say, `shown`: its display
    name but for the day. None: nothing is left of what makes the name, so that it is the recording's filename.
    """

    ticket: str | None
    shown: str | None


def first_link(row: Asked) -> FirstLink:
    """The link of this row, if it is the first of its recording."""
    ticket = row.ticket
    shown = shown_name(ticket["ticket_id"], ticket.get("customer_name"))
    if not shown:
        return FirstLink(None, None)
    return FirstLink(to_json({field: cell for field, cell in ticket.items() if cell})[:-1].decode(), shown)


def linked_at(moment: datetime) -> str:
    """What such a ticket ends with: when it was linked. Rule: cloud contract, 'linked_at' has whole seconds."""
    return f',"linked_at":{to_json(moment.replace(microsecond=0)).decode()}}}'
