"""Folds TicketLinkRequested: other services' links go the same way as those of the API.

In: the events of one batch, given versions and so waiting for the gate. Out: links, or parked requests. A request
counts from when its sender made it, but never from later than the broker took it: a clock that runs ahead wins no
order. What means more than one recording, or none although it is not to wait, is a dead letter.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinkRequested
from services.linker.decisions import LinkRequest, Target
from services.linker.link_recordings import Linked, NotFound, Result, Unclear, Waits, link_recordings
from shared.batch import Folded, Incoming
from shared.dead_letters import DeadLetter


async def fold_ticket_link_requested(
    batch: Sequence[Incoming[TicketLinkRequested]], connection: AsyncConnection
) -> Folded:
    """Link what can be linked."""
    results = await link_recordings([_request(incoming) for incoming in batch], connection, now=datetime.now(UTC))
    refused = tuple(
        DeadLetter(incoming.record, "unlinkable", error)
        for incoming, result in zip(batch, results, strict=True)
        if (error := _unlinkable(result))
    )
    newer = sum(isinstance(result, Linked | Waits) for result in results)
    return Folded(newer=newer, wake=("announce_links", "match_parked") if newer else (), refused=refused)


def _request(incoming: Incoming[TicketLinkRequested]) -> LinkRequest:
    event = incoming.event
    return LinkRequest(
        request_id=event.request_id,
        requested_at=min(event.requested_at, incoming.appended_at),
        target=Target(event.recording_id, event.filename, event.folder),
        ticket=event.ticket_info,
        source="event",
        linked_by=event.linked_by,
        park=event.park,
    )


def _unlinkable(result: Result) -> str | None:
    match result:
        case Unclear(candidates):
            return f"ambiguous: {len(candidates)} recordings fit; name the folder or the recording_id"
        case NotFound():
            return "no recording fits, and park is false"
        case _:
            return None
