"""Pushes once more what may have come late: the duties.

A claim that was left behind by a crash, or whose outcome is unknown, may yet take effect in the cloud after something
newer. Its recordings are owed once more after a while, and pushed in the state they have then.
"""

from dataclasses import dataclass

from services.cloud_updater.claims import Claims
from services.cloud_updater.resyncs import Resyncs
from shared.database import Database
from shared.gate import Gate

DUTIES_AT_ONCE = 500


@dataclass(frozen=True)
class PushAgain:
    """The step of a reconcile loop. `after_s`: how long after a push that may come late its recordings are owed."""

    database: Database
    gate: Gate
    after_s: float

    async def step(self) -> float | None:
        """Make owed again what was pushed with an unknown outcome a while ago."""
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            await Claims(connection).end_claims_of_the_dead(second_push_after_s=self.after_s)
        async with self.database.transaction() as connection:
            await self.gate.pass_through(connection)
            due = await Claims(connection).due_duties(DUTIES_AT_ONCE)
            if due:
                await Resyncs(connection).push_again(due)
        return 0 if due else None
