"""Looks now and then at what only the database knows, and sets the gauges that /metrics shows of it.

Every process counts for itself, so that any of them can be asked; a process that is gone says nothing for ever.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import dead_letters, metrics
from shared.database import Database
from shared.lane import Lane

WATCH_EVERY_S = 15.0


@dataclass(frozen=True)
class Pending:
    """What is kept from the cloud, by what keeps it from there, and how long the oldest of all that is to go there has
    waited, whether or not anything keeps it; 0: nothing waits."""

    blocked: Mapping[str, int]
    oldest_s: float


class Look(Protocol):
    """A service's own look. `shut`: its lane is stopped."""

    async def __call__(self, connection: AsyncConnection, *, shut: bool) -> Pending:
        """What is pending now."""


@dataclass(frozen=True)
class WatchPending:
    """The step of a loop that only looks."""

    database: Database
    lane: Lane
    pending: Look

    async def step(self) -> float | None:
        """Set the gauges."""
        async with self.database.transaction() as connection:
            state = await self.lane.look(connection)
            found = await self.pending(connection, shut=state.reason is not None)
        for reason, number in found.blocked.items():
            metrics.BLOCKED.labels(reason).set(number)
        metrics.OLDEST_PENDING_S.set(found.oldest_s)
        return WATCH_EVERY_S


@dataclass(frozen=True)
class WatchDeadLetters:
    """The step of a loop that only looks."""

    database: Database

    async def step(self) -> float | None:
        """Set the gauge."""
        async with self.database.transaction() as connection:
            metrics.DEAD_LETTERS.set(await dead_letters.count(connection))
        return WATCH_EVERY_S
