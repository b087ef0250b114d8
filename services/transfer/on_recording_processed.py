"""Folds RecordingProcessed: the recordings that the cloud is to have.

In: the events of one batch. Out: the newest fact of each recording, waiting for its upload, and a time at which its
folder is looked at. A fact that is not newer than the row changes nothing; a newer one about a recording that is frozen
or transferred is kept and shown, and no upload follows from it.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingProcessed
from services.transfer.decisions import Waits, decide_looks, decide_news, newest_of_each
from services.transfer.store import Store
from shared.batch import Folded
from shared.reading import Incoming


async def fold_recording_processed(
    batch: Sequence[Incoming[RecordingProcessed]], connection: AsyncConnection, *, waits: Waits
) -> Folded:
    """Store what is newer."""
    store = Store(connection)
    newest = newest_of_each(incoming.event for incoming in batch)
    known = await store.known_recordings(newest)

    news = decide_news(newest, known)
    if not news:
        return Folded()
    with_ticket = await store.with_ticket({one.fact.recording_id for one in news})
    looks = decide_looks(news, known, with_ticket=with_ticket, waits=waits, now=await store.now())

    await store.look_at(looks)
    await store.put_recordings(news)
    return Folded(newer=len(news), wake=("upload_recordings",))
