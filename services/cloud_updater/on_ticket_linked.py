"""Folds TicketLinked: the newest link that each recording should have in the cloud.

In: the events of one batch. Out: the wanted link and its ticket, and for a recording that is in the cloud the next seq
of its folder, so that the push finds it. A fact that is not newer than the row changes nothing.
"""

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from services.cloud_updater.decisions import newest_links
from services.cloud_updater.ledgers import Change, Ledgers, Quiet
from services.cloud_updater.store import RecordingRow, Store
from shared.batch import Folded, Incoming
from shared.own_records import Skimmed


async def new_links(skimmed: Sequence[Skimmed], connection: AsyncConnection) -> Collection[int]:
    """Those with a version that the recording does not have yet."""
    return await Store(connection).new_links(skimmed)


async def fold_ticket_linked(
    batch: Sequence[Incoming[TicketLinked]], connection: AsyncConnection, *, quiet: Quiet
) -> Folded:
    """Store what is newer; a link that an import made waits until its folder is quiet."""
    store = Store(connection)
    rows = await store.lock({incoming.event.recording_id for incoming in batch})

    newer = newest_links((incoming.event for incoming in batch), {one: row.link_version for one, row in rows.items()})
    if not newer:
        return Folded()

    changes = [
        Change(one, row.clouds_uuid, _is_behind(fact, row), patient=fact.source == "import")
        for one, fact in newer.items()
        if (row := rows[one]).clouds_uuid
    ]
    seqs = await Ledgers(connection).take_seqs(changes, quiet) if changes else {}
    wanted = [incoming for incoming in batch if newer.get(incoming.event.recording_id) is incoming.event]
    await store.want(wanted, rows, seqs)
    return Folded(newer=len(newer), wake=("push_tickets",) if any(one.behind for one in changes) else ())


def _is_behind(fact: TicketLinked, row: RecordingRow) -> bool:
    return (row.transfer_version, fact.link_version) > row.known
