"""Folds TicketLinked: the newest link that each recording should have in the cloud.

In: the events of one batch. Out: the wanted link and its ticket, and for a recording that is in the cloud the next seq
of its folder, so that the push finds it. A fact that is not newer than the row changes nothing.
"""

from collections.abc import Collection, Iterable, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from services.cloud_updater.ledgers import Quiet
from services.cloud_updater.store import Store
from shared.batch import Folded
from shared.own_records import Skimmed
from shared.reading import Incoming


async def new_links(skimmed: Sequence[Skimmed], connection: AsyncConnection) -> Collection[int]:
    """Those with a version that the recording does not have yet."""
    return await Store(connection).new_links(skimmed)


async def fold_ticket_linked(
    batch: Sequence[Incoming[TicketLinked]], connection: AsyncConnection, *, quiet: Quiet
) -> Folded:
    """Store what is newer."""
    stored = await Store(connection).want(newest_links(batch), quiet)
    return Folded(newer=stored.newer, wake=("push_tickets",) if stored.behind else ())


def newest_links(batch: Iterable[Incoming[TicketLinked]]) -> list[Incoming[TicketLinked]]:
    """Of each recording the link with the highest version."""
    newest: dict[str, Incoming[TicketLinked]] = {}
    for incoming in batch:
        best = newest.setdefault(incoming.event.recording_id, incoming)
        if incoming.event.link_version > best.event.link_version:
            newest[incoming.event.recording_id] = incoming
    return list(newest.values())
