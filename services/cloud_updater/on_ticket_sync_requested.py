"""Folds TicketSyncRequested: somebody wants recordings, a folder or everything looked at again.

In: the events of one batch. Out: a row per request, which a loop carries out in bounded steps. A request_id acts once.
A request that is older than this database was answered by the one before it, and is left alone.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketSyncRequested
from services.cloud_updater.decisions import counts_as_asked_at
from services.cloud_updater.resync_requests import ResyncRequests
from shared.batch import Folded
from shared.reading import Incoming


async def fold_ticket_sync_requested(
    batch: Sequence[Incoming[TicketSyncRequested]], connection: AsyncConnection
) -> Folded:
    """Store what is new."""
    asked = [
        (
            incoming.event,
            counts_as_asked_at(requested_at=incoming.event.requested_at, appended_at=incoming.appended_at),
        )
        for incoming in batch
    ]

    new = await ResyncRequests(connection).receive(asked)
    return Folded(newer=new, wake=("expand_resyncs",) if new else ())
