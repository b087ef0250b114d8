"""Brings parked links and their recordings together, whichever came first.

A step takes recordings that have arrived and requests that were just parked, finds the pairs, and links them in the
order of the requests. A parked link that names only a filename goes to the first recording of that name; that choice
stands in its row and is not made again.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from services.linker.decisions import Target
from services.linker.link_recordings import link_known
from services.linker.store_catalogue import Catalogue
from services.linker.store_parked import Parked
from shared.database import Database, notify
from shared.gate import Gate

log = structlog.get_logger()

LOT = 2_000


@dataclass(frozen=True)
class MatchParked:
    """The step of a reconcile loop."""

    database: Database
    gate: Gate

    async def step(self) -> float | None:
        """Look through one lot. Returns 0 if there may be more."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            parked = Parked(connection)
            arrived = await parked.take_arrivals(LOT)
            fresh = await parked.take_fresh(LOT)
            pairs = [*await parked.for_arrivals(arrived)] if arrived else []
            pairs += await parked.for_fresh(fresh) if fresh else []
            unique = {pair.request.request_id: pair for pair in pairs}
            ordered = sorted(unique.values(), key=lambda pair: pair.request.order)
            found = await Catalogue(connection).candidates([Target(pair.recording_id) for pair in ordered])
            linked = [
                (pair.request, recordings[0]) for pair, recordings in zip(ordered, found, strict=True) if recordings
            ]
            await link_known(linked, connection, now=datetime.now(UTC))
            await parked.settle(
                [request.request_id for request, _ in linked],
                "applied",
                applied_to=[recording.recording_id for _, recording in linked],
            )
            await notify(connection, ["announce_links"] if linked else [])
        if linked:
            log.info("parked links applied", links=len(linked))
        return 0 if arrived or fresh else None
