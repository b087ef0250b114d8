"""Folds TicketLinked: the newest link that each recording should have in the cloud.

In: the events of one batch. Out: the wanted link and its ticket, and for a recording that is in the cloud the next seq
of its folder, so that the push finds it. A fact that is not newer than the row changes nothing.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from services.cloud_updater.decisions import newest_links
from services.cloud_updater.store import Quiet, Store
from shared.batch import Folded, Incoming


async def fold_ticket_linked(
    batch: Sequence[Incoming[TicketLinked]], connection: AsyncConnection, *, quiet: Quiet
) -> Folded:
    """Store what is newer; a link that an import made waits until its folder is quiet."""
    store = Store(connection)
    facts = [incoming.event for incoming in batch]
    candidates = newest_links(facts, await store.link_versions({fact.recording_id for fact in facts}))
    if not candidates:
        return Folded()

    rows = await store.lock(candidates)
    newer = newest_links(candidates.values(), {recording_id: row.link_version for recording_id, row in rows.items()})

    await store.want(newer.values())
    placed = [rows[recording_id] for recording_id in newer if rows[recording_id].clouds_uuid]
    patient = {recording_id for recording_id, fact in newer.items() if fact.source == "import"}
    await store.change(placed, quiet=quiet, patient=patient)
    return Folded(newer=len(newer), wake=("push_tickets",) if placed else ())
