"""Folds RecordingTransferred: where each recording is in the cloud, for lookups and for what an operator sees.

In: the events of one batch. Out: folder and file as the cloud has them, and the link that travelled there. A fact that
is not newer than the row changes nothing.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingTransferred
from services.linker.store_catalogue import Catalogue
from shared.batch import Folded
from shared.reading import Incoming


async def fold_recording_transferred(
    batch: Sequence[Incoming[RecordingTransferred]], connection: AsyncConnection
) -> Folded:
    """Store what is newer."""
    newer = await Catalogue(connection).transfer(batch)
    return Folded(newer=newer, wake=("match_parked",) if newer else ())
