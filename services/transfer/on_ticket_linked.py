"""Folds TicketLinked: the newest link of each recording, to go with its upload.

In: the events of one batch. Out: the ticket, also of recordings that are not known yet. A recording that waited for it
need not wait longer, and one that the cloud has rejected is tried with it. A link that comes after the upload was
frozen is not this service's business: the version that went with the upload is announced, and cloud_updater pushes
what is newer.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from services.transfer.decisions import Waits, decide_links
from services.transfer.store import Store
from shared.batch import Folded
from shared.reading import Incoming


async def fold_ticket_linked(
    batch: Sequence[Incoming[TicketLinked]], connection: AsyncConnection, *, waits: Waits
) -> Folded:
    """Store what is newer."""
    store = Store(connection)
    facts = [incoming.event for incoming in batch]
    known = await store.link_versions({fact.recording_id for fact in facts})

    links = decide_links(facts, known)
    if not links:
        return Folded()

    await store.put_tickets(links)
    linked = {link.recording_id for link in links}
    folders = await store.folders_not_uploaded(linked)
    if not folders:
        return Folded(newer=len(links))
    await store.look_at(dict.fromkeys(folders, await store.now() + waits.quiet))
    await store.try_again(linked)
    return Folded(newer=len(links), wake=("upload_recordings",))
