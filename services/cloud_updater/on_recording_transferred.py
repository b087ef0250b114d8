"""Folds RecordingTransferred: where each recording is in the cloud, and which link travelled there with it.

In: the events of one batch. Out: the file as sent, the recording's folder in the cloud, and its next seq there. A link
that came while the upload was under way is newer than the one that travelled, and so is pushed. A fact that is not
newer than the row changes nothing; a newer one takes the recording off its old folder.
"""

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingTransferred
from services.cloud_updater.decisions import newest_transfers
from services.cloud_updater.ledgers import Quiet
from services.cloud_updater.store import Store
from shared.batch import Folded
from shared.own_records import Skimmed
from shared.reading import Incoming


async def new_transfers(skimmed: Sequence[Skimmed], connection: AsyncConnection) -> Collection[int]:
    """Those with a version that the recording does not have yet."""
    return await Store(connection).new_transfers(skimmed)


async def fold_recording_transferred(
    batch: Sequence[Incoming[RecordingTransferred]], connection: AsyncConnection, *, quiet: Quiet
) -> Folded:
    """Store what is newer."""
    stored = await Store(connection).place(newest_transfers(incoming.event for incoming in batch), quiet)
    return Folded(newer=stored.newer, wake=("push_tickets",) if stored.behind else ())
