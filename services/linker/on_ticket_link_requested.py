"""Folds TicketLinkRequested: other services' links go the same way as those of the API.

In: the events of one batch, given versions and so waiting for the gate. Out: links, or parked requests. A request
counts from when its sender made it, but never from later than the broker took it: a clock that runs ahead wins no
order. What means more than one recording, or none although it is not to wait, is a dead letter.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinkRequested
from services.linker.decisions import LinkRequest
from services.linker.link_recordings import Linked, NotFound, Result, Unclear, Waits, link_recordings
from services.linker.store_choices import Choices
from services.linker.store_links import Links
from services.linker.target import Target
from shared.batch import Folded
from shared.dead_letters import DeadLetter
from shared.reading import Incoming

FORGOTTEN = (
    "older than linker's database, which was lost since, and without a recording_id: it is not known any more to which "
    "recording of that filename it went"
)


async def fold_ticket_link_requested(
    batch: Sequence[Incoming[TicketLinkRequested]], connection: AsyncConnection
) -> Folded:
    """Link what can be linked."""
    requests = [_request(incoming) for incoming in batch]
    forgotten = await _forgotten(batch, requests, connection)
    kept = [place for place in range(len(batch)) if place not in forgotten]
    results = await link_recordings([requests[place] for place in kept], connection, now=datetime.now(UTC))
    refused = (
        *(DeadLetter(batch[place].record, "unlinkable", FORGOTTEN) for place in sorted(forgotten)),
        *(
            DeadLetter(batch[place].record, "unlinkable", error)
            for place, result in zip(kept, results, strict=True)
            if (error := _unlinkable(result))
        ),
    )
    newer = sum(isinstance(result, Linked | Waits) for result in results)
    return Folded(newer=newer, wake=("announce_links", "match_parked") if newer else (), refused=refused)


async def _forgotten(
    batch: Sequence[Incoming[TicketLinkRequested]], requests: Sequence[LinkRequest], connection: AsyncConnection
) -> frozenset[int]:
    """Places of requests by filename that came before the database was lost, and that no link of ours explains.

    They were applied, to a recording that nobody remembers: of those that have the name now it may be none.
    """
    links = Links(connection)
    made_at = await links.made_at()
    old = [place for place, one in enumerate(batch) if requests[place].by_name and one.appended_at < made_at]
    if not old:
        return frozenset()
    explained = await Choices(connection).made([requests[place] for place in old])
    unexplained = frozenset(place for number, place in enumerate(old) if number not in explained)
    # A database that is the first has no link from before itself, which to find out takes a look at all of them.
    return unexplained if unexplained and await links.were_before(made_at) else frozenset()


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
