"""Counts recordings by their state for /metrics. It reads every recording, so it is done once a minute."""

from dataclasses import dataclass
from datetime import UTC, datetime

from prometheus_client import Gauge

from services.linker import seen
from shared import metrics
from shared.database import Database

WATCH_EVERY_S = 60.0

RECORDINGS = Gauge("ticketsync_recordings", "Recordings, by their state", ["state"])


@dataclass(frozen=True)
class WatchStates:
    """The step of a loop that only looks."""

    database: Database

    async def step(self) -> float | None:
        """Set the gauges."""
        async with self.database.transaction() as connection:
            found = await seen.states(connection, folder_id=None)
        for state, number in found.counts.items():
            RECORDINGS.labels(state).set(number)
        oldest_at, now = found.oldest_pending_at, datetime.now(UTC)
        metrics.OLDEST_PENDING_S.set(max(0.0, (now - oldest_at).total_seconds()) if oldest_at else 0)
        return WATCH_EVERY_S
