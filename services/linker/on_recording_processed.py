"""Folds RecordingProcessed: the catalogue, in which requests find the recording that they mean.

In: the events of one batch. Out: the newest description of each recording, and a note that it has arrived, by which
parked links find it. A fact that is not newer than the row changes nothing.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingProcessed
from services.linker.store_catalogue import Catalogue
from shared.batch import Folded
from shared.reading import Incoming


async def fold_recording_processed(
    batch: Sequence[Incoming[RecordingProcessed]], connection: AsyncConnection
) -> Folded:
    """Store what is newer."""
    newer = await Catalogue(connection).process(batch)
    return Folded(newer=newer, wake=("match_parked",) if newer else ())
