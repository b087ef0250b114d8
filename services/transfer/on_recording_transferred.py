"""Folds our own RecordingTransferred: what has been done already, as the topic remembers it.

In: the events of one batch, in the topic's order. Out: rows that were lost with a database, and the topic's last word
about each recording, which tells the announcer whether that is the newest. An open request whose recordings have all
been announced had its effect; it is closed. In daily work it only hears what was announced a moment ago: then no more
is read of it than says so.
"""

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingTransferred
from schemas.fields import RecordingId
from services.transfer.decisions import decide_heard, decide_places
from services.transfer.store import Store
from services.transfer.transfers import TransferRow, Transfers
from shared.batch import Folded
from shared.own_records import Skimmed
from shared.reading import Incoming


async def new_own_transfers(skimmed: Sequence[Skimmed], connection: AsyncConnection) -> Collection[int]:
    """None if all of them are transfers as they stand here; those are heard then.

    Else all: what is learned locks transfers, and what is only heard beside it would be a second order.
    """
    told = {(RecordingId(one.key), one.order[0]) for one in skimmed}
    return () if await Transfers(connection).hear_newest(told) else range(len(skimmed))


async def fold_recording_transferred(
    batch: Sequence[Incoming[RecordingTransferred]], connection: AsyncConnection
) -> Folded:
    """Take over what is newer, and remember what was heard last."""
    transfers = Transfers(connection)
    facts = [incoming.event for incoming in batch]
    known = await transfers.known({fact.recording_id for fact in facts})
    places = await transfers.places({fact.folder_id for fact in facts})

    heard = decide_heard(facts, known)
    moved = decide_places(facts, places)

    if heard.newer or moved:
        await Store(connection).look_at(dict.fromkeys(heard.folder_ids | moved.keys()))
        # Read again under the lock: an upload may have been recorded since.
        await transfers.place(decide_places(facts, await transfers.places({fact.folder_id for fact in facts})))
        # All at once: what is taken over and what is only heard would be two orders.
        await transfers.lock({fact.recording_id for fact in heard.newer} | heard.last_words.keys())
        await transfers.put([TransferRow.of(fact) for fact in heard.newer])
        await transfers.close_proven_requests({fact.recording_id for fact in heard.newer})
    if heard.last_words:
        await transfers.hear(heard.last_words)
    return Folded(newer=len(heard.newer), wake=("announce_transfers",) if heard.behind else ())
