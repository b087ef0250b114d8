"""A service's traffic to a genuine emulator, request by request, over a genuine lane row."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.cloud import Cloud, CloudSettings, token_reader
from shared.database import Database
from shared.lane import Lane
from shared.lane_rules import FAILURES_TO_OPEN
from shared.lane_state import LaneShut, LaneState
from shared.outcome import NothingDone, Outcome
from tests.emulator.running import TOKEN, Emulator


@dataclass(frozen=True)
class Traffic:
    lane: Lane
    database: Database
    resets: list[str] = field(default_factory=list)

    async def state(self) -> LaneState:
        async with self.database.transaction() as connection:
            return await self.lane.look(connection)

    async def enter(self) -> LaneState | None:
        """None: no request may be sent now."""
        try:
            async with self.database.transaction() as connection:
                state = await self.lane.look(connection)
                await self.lane.enter(connection, state)
                return state
        except LaneShut:
            return None

    async def meet(self, outcome: Outcome) -> str | None:
        """Send one request, if that is allowed, with this outcome. Returns why the lane is stopped then."""
        entered = await self.enter()
        assert entered is not None
        await self.lane.report(outcome, entered=entered)
        return (await self.state()).reason

    async def break_down(self) -> None:
        """So many failures that the circuit opens."""
        for _ in range(FAILURES_TO_OPEN):
            await self.meet(NothingDone("no"))

    async def later(self, seconds: float) -> None:
        async with self.database.transaction() as connection:
            passed = f"interval '{seconds} seconds'"
            await connection.exec_driver_sql(
                f"update lane set probe_at = probe_at - {passed}, pinged_at = pinged_at - {passed}, "
                f"next_request_at = next_request_at - {passed}, not_before = not_before - {passed}"
            )

    async def probe_in_s(self) -> float | None:
        async with self.database.transaction() as connection:
            found = await connection.exec_driver_sql("select extract(epoch from probe_at - now()) from lane")
            seconds = found.scalar_one()
            return None if seconds is None else float(seconds)


@asynccontextmanager
async def traffic_on(database_url: str, cloud: Emulator) -> AsyncIterator[Traffic]:
    """Before its first ping."""
    own = CloudSettings.model_validate({"clouds_url": cloud.url, "clouds_token": TOKEN})
    database, client = Database(database_url, pool_size=6), Cloud(own, token=token_reader(own))
    resets: list[str] = []

    async def retry_now(_: AsyncConnection) -> None:
        resets.append("waits")

    lane = Lane(database, client, retry_now, wake=lambda: resets.append("woken"), ping_every_s=60, route="ticket-info")
    try:
        yield Traffic(lane, database, resets)
    finally:
        await client.close()
        await database.close()
