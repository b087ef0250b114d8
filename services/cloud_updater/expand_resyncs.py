"""Carries out resync requests: makes what they select owed, some folders at a time, so that no transaction is long.

What is to be selected must be known: in a database that was lost, a request waits until the transfers and links that
the topics held at start are folded again (`known`), or it would pass over them and never act again.
"""

from dataclasses import dataclass

import structlog

from services.cloud_updater.resyncs import Resyncs
from shared.database import Database, notify
from shared.gate import Gate

log = structlog.get_logger()

FOLDERS_AT_ONCE = 200


@dataclass(frozen=True)
class ExpandResyncs:
    """The step of a reconcile loop."""

    database: Database
    gate: Gate
    known: Gate

    async def step(self) -> float | None:
        """Carry out one bounded part of the oldest open request."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            await self.known.pass_through(connection)
            resyncs = Resyncs(connection)
            request = await resyncs.next_open()
            if request is None:
                return None
            if request.recording_ids is not None:
                await resyncs.push_recordings(request.recording_ids, force=request.force)
                after = None
            else:
                after = await resyncs.push_folders(request, limit=FOLDERS_AT_ONCE)
            await resyncs.progress(request, after)
            await notify(connection, ["push_tickets"])
        if after is None:
            log.info("resync carried out", request_id=request.request_id, force=request.force)
        return 0
