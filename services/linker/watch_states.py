"""Counts recordings by their state for /metrics. It reads every recording, so it is done once a minute."""

from dataclasses import dataclass

from prometheus_client import Gauge

from services.linker import seen
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
        for state, number in found.items():
            RECORDINGS.labels(state).set(number)
        return WATCH_EVERY_S
