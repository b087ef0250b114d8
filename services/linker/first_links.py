"""Rows whose recording was known when their file was accepted: what their links are if the recordings have none yet.

A recording's first link needs no decision. Its ticket can be written down when the file is accepted, all but the moment
of linking, and PostgreSQL then makes the links of a whole part in one statement. Whatever turns out to be otherwise
when its turn comes (there is a link, or the recording has changed) is decided like any other request.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from pydantic_core import to_json

from services.linker.decisions import KnownRecording
from services.linker.display_name import display_name
from services.linker.read_row import Asked


class FirstLinks(NamedTuple):
    """The links of a part, a list for each column.

    `called_at`, `filenames`: of the recordings as they were; the display name was made from them. `tickets`: TicketInfo
    as JSON, but for the moment of linking, its last field, and the bracket behind it.
    """

    lines: list[int]
    recording_ids: list[str]
    filenames: list[str]
    called_at: list[datetime | None]
    tickets: list[str]


def first_links(rows: Iterable[tuple[Asked, KnownRecording]]) -> FirstLinks:
    """The first links of these recordings."""
    links = FirstLinks([], [], [], [], [])
    for row, recording in rows:
        links.lines.append(row.line)
        links.recording_ids.append(recording.recording_id)
        links.filenames.append(recording.filename)
        links.called_at.append(recording.called_at)
        links.tickets.append(_ticket(row, recording))
    return links


def linked_at(moment: datetime) -> str:
    """What such a ticket lacks: when it was linked. Rule: cloud contract, 'linked_at' has whole seconds."""
    return f',"linked_at":{to_json(moment.replace(microsecond=0)).decode()}}}'


def _ticket(row: Asked, recording: KnownRecording) -> str:
    ticket = row.ticket
    shown = display_name(
        ticket["ticket_id"],
        ticket.get("customer_name"),
        filename=recording.filename,
        called_at=recording.called_at,
    )
    given = {field: cell for field, cell in ticket.items() if cell}
    given["display_name"] = shown
    return to_json(given)[:-1].decode()
