"""Brings parked links and their recordings together, whichever came first.

A step takes recordings that have arrived, then requests that were just parked, finds the pairs, and links them in the
order of the requests. A parked link that names only a filename goes to the first recording of that name; that choice
stands in its row and is not made again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.link_recordings import HasAnother, link_known
from services.linker.store_candidates import Candidates
from services.linker.store_catalogue import Catalogue
from services.linker.store_matching import Matching, Pair
from services.linker.store_parked import Parked
from services.linker.target import Target
from shared.database import Database, notify
from shared.gate import Gate

log = structlog.get_logger()

LOT = 2_000


@dataclass(frozen=True)
class MatchParked:
    """The step of a reconcile loop.

    Arrivals and fresh requests have a transaction each, so that either locks its recordings once and in their order.
    """

    database: Database
    gate: Gate

    async def step(self) -> float | None:
        """Look through one lot of each. Returns 0 if there may be more."""
        arrived = await self._match_arrivals()
        fresh = await self._match_fresh()
        return 0 if arrived or fresh else None

    async def _match_arrivals(self) -> int:
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            matching = Matching(connection)
            arrived = await matching.arrivals(LOT)
            if arrived:
                # Whoever changes one of them now waits, and notes its arrival anew.
                await Catalogue(connection).lock(arrived)
                await _link(await matching.for_arrivals(arrived), connection)
                await matching.forget_arrivals(arrived)
        return len(arrived)

    async def _match_fresh(self) -> int:
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            matching = Matching(connection)
            fresh = await matching.fresh(LOT)
            if fresh:
                await _link(await matching.for_fresh(fresh), connection)
                await matching.looked_through(fresh)
        return len(fresh)


async def _link(pairs: Sequence[Pair], connection: AsyncConnection) -> None:
    """Link the pairs. One that was withdrawn meanwhile is undone by the unlink that did it, which waits as well."""
    ordered = sorted(pairs, key=lambda pair: pair.request.order)
    found = await Candidates(connection).of([Target(pair.recording_id) for pair in ordered])
    linked = [(pair.request, recordings[0]) for pair, recordings in zip(ordered, found, strict=True) if recordings]
    if not linked:
        return
    results = await link_known(linked, connection, now=datetime.now(UTC))
    applied = [pair for pair, result in zip(linked, results, strict=True) if not isinstance(result, HasAnother)]
    kept = [request for (request, _), result in zip(linked, results, strict=True) if isinstance(result, HasAnother)]
    await Parked(connection).settle(
        [request for request, _ in applied],
        "applied",
        applied_to=[recording.recording_id for _, recording in applied],
    )
    await Parked(connection).settle(kept, "superseded")
    await notify(connection, ["announce_links"])
    log.info("parked links applied", links=len(applied), kept=len(kept))
