"""Folds CloudTicketUpdated: which link the cloud has acknowledged, for what an operator sees.

In: the events of one batch. Out: the newest acknowledgement of each recording.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import CloudTicketUpdated
from services.linker.store_catalogue import Catalogue
from shared.batch import Folded
from shared.reading import Incoming


async def fold_cloud_ticket_updated(
    batch: Sequence[Incoming[CloudTicketUpdated]], connection: AsyncConnection
) -> Folded:
    """Store what is newer."""
    return Folded(newer=await Catalogue(connection).acknowledge(batch))
