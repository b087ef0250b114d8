"""Folds CloudTicketUpdated, this service's own facts: what the cloud has acknowledged.

In: the events of one batch. Out: the newest acknowledgement of each recording. It is how an acknowledgement that was
announced is known to be on the topic, and how a lost or older database learns what need not be pushed again.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import CloudTicketUpdated
from services.cloud_updater.decisions import newest_acknowledgements
from services.cloud_updater.store import Store
from shared.batch import Folded, Incoming


async def fold_cloud_ticket_updated(
    batch: Sequence[Incoming[CloudTicketUpdated]], connection: AsyncConnection
) -> Folded:
    """Store what is newer."""
    store = Store(connection)
    facts = [incoming.event for incoming in batch]
    newer = newest_acknowledgements(facts, await store.acknowledged_versions({fact.recording_id for fact in facts}))
    if not newer:
        return Folded()

    await store.lock(newer)
    return Folded(newer=await store.acknowledge(newer), wake=("announce_updates",))
