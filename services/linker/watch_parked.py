"""Counts parked links for /metrics, so that somebody is told of links whose recordings do not come."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prometheus_client import Gauge

from services.linker import seen_parked
from services.linker.settings import LinkerSettings
from shared.database import Database

WATCH_EVERY_S = 15.0

PARKED = Gauge("ticketsync_parked_links", "Links that wait for their recording, by how long they have", ["state"])
OLDEST_S = Gauge("ticketsync_oldest_parked_link_seconds", "Age of the link that waits longest; 0 if none does")


@dataclass(frozen=True)
class WatchParked:
    """The step of a loop that only looks."""

    settings: LinkerSettings
    database: Database

    async def step(self) -> float | None:
        """Set the gauges."""
        now = datetime.now(UTC)
        expired_before = now - timedelta(days=self.settings.parked_expire_after_days)
        async with self.database.transaction() as connection:
            found = await seen_parked.counts(connection, expired_before=expired_before)
        PARKED.labels("waiting").set(found.parked - found.expired)
        PARKED.labels("expired").set(found.expired)
        OLDEST_S.set(max(0.0, (now - found.oldest_at).total_seconds()) if found.oldest_at else 0)
        return WATCH_EVERY_S
