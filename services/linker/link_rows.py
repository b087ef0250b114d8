"""Links as rows: what a request has made, or what was read back from the topic, as it is to be stored."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from schemas.events import TicketInfo, TicketLinked
from services.linker.decisions import KnownRecording, LinkRequest, NewLink


class LinkRow(NamedTuple):
    """A link as it is to be stored."""

    recording_id: str
    link_version: int
    ticket: TicketInfo | None
    folder_id: str
    filename: str
    source: str
    request_id: str
    requested_at: datetime
    linked_by: str | None
    import_id: str | None
    occurred_at: datetime

    @classmethod
    def of_request(cls, request: LinkRequest, recording: KnownRecording, link: NewLink, *, now: datetime) -> "LinkRow":
        """The link that a request made."""
        return cls(
            recording.recording_id,
            link.link_version,
            link.ticket,
            recording.folder_id,
            recording.filename,
            request.source,
            request.request_id,
            request.requested_at,
            request.linked_by,
            request.import_id,
            now,
        )

    @classmethod
    def of_fact(cls, fact: TicketLinked, link_version: int) -> "LinkRow":
        """A link of ours that was read back."""
        return cls(
            fact.recording_id,
            link_version,
            fact.ticket_info,
            fact.folder_id,
            fact.filename,
            fact.source,
            fact.request_id,
            fact.requested_at,
            fact.linked_by,
            fact.import_id,
            fact.occurred_at,
        )


def columns_of(links: Sequence[LinkRow]) -> dict[str, list[object]]:
    """What the tables `link` and `link_history` have in common of them, a list for each column."""
    return {
        "ids": [one.recording_id for one in links],
        "versions": [one.link_version for one in links],
        "tickets": [one.ticket.as_json().decode() if one.ticket else None for one in links],
        "sources": [one.source for one in links],
        "requests": [one.request_id for one in links],
        "requested": [one.requested_at for one in links],
        "linked_by": [one.linked_by for one in links],
        "imports": [one.import_id for one in links],
        "occurred": [one.occurred_at for one in links],
    }
