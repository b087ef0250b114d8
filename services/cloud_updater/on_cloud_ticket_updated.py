"""Folds CloudTicketUpdated, this service's own facts: what the cloud has acknowledged.

In: the events of one batch. Out: the newest acknowledgement of each recording. It is how an acknowledgement that was
announced is known to be on the topic, and how a lost or older database learns what need not be pushed again.
"""

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import CloudTicketUpdated
from services.cloud_updater.decisions import newest_acknowledgements
from services.cloud_updater.store import Store
from shared.batch import Folded
from shared.own_records import Skimmed
from shared.reading import Incoming


async def new_acknowledgements(skimmed: Sequence[Skimmed], connection: AsyncConnection) -> Collection[int]:
    """Those that neither the recording's row nor its folder's cursor knows: none, but in a database that was lost."""
    return await Store(connection).new_acknowledgements(skimmed)


async def fold_cloud_ticket_updated(
    batch: Sequence[Incoming[CloudTicketUpdated]], connection: AsyncConnection
) -> Folded:
    """Store what is newer."""
    stored = await Store(connection).acknowledge(newest_acknowledgements(incoming.event for incoming in batch))
    return Folded(newer=stored, wake=("announce_updates",) if stored else ())
