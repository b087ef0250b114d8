"""The lane: one service's traffic to the cloud, stopped and let go for all its replicas together. Its state is one row.

What stops it, what is tried meanwhile and what opens it again: shared/lane_rules.py; the row: shared/lane_row.py.

A pause lies over the others: what the cloud answers to pings, and to requests that were under way, counts as ever, and
shows again when the pause is over. While a lane is stopped nothing is rejected and nothing sleeps while it holds
something: rows wait. A cloud that had too much to do is not met by all that has gathered meanwhile: two requests may be
under way at first, and one more for each that gets an answer, until there are so many that nobody waits any more.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import assert_never

import structlog
from prometheus_client import Gauge
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import lane_row, metrics
from shared.cloud import Cloud
from shared.database import Database, is_transient
from shared.lane_rules import (
    FAILURES_TO_OPEN,
    PING_S,
    CountFailure,
    Freed,
    LetOneThrough,
    Open,
    SayWhy,
    Stop,
    decide_after_ping,
    decide_after_request,
    freed,
    names,
    ping_s,
    probe_s,
)
from shared.lane_state import PAUSED, LaneShut, LaneState
from shared.outcome import Done, Outcome

log = structlog.get_logger()


@dataclass(frozen=True)
class Lane:
    """`retry_now(connection)` lets everything that waits for its next try be due at once; `route`: capability that says
    that the route which this lane uses exists, if there is one; `repeatable_with`: capability without which what this
    lane sends must not be repeated, if it needs one."""

    database: Database
    cloud: Cloud
    retry_now: Callable[[AsyncConnection], Awaitable[None]]
    wake: Callable[[], None]
    ping_every_s: float
    requests_per_minute: int | None = None
    route: str | None = None
    repeatable_with: str | None = None

    async def look(self, connection: AsyncConnection) -> LaneState:
        """The state as it is."""
        state = await lane_row.look(connection)
        metrics.LANE_OPEN.set(state.reason is None)
        for reason, stopped in _stopped().items():
            stopped.set(state.reason == reason)
        return state

    async def shown(self, *, within_s: float) -> Mapping[str, object] | None:
        """What anybody may know, who asks without a token: not the message, which is the cloud's own words or a
        person's. None: the database does not answer."""
        try:
            async with asyncio.timeout(within_s), self.database.transaction() as connection:
                state = await self.look(connection)
        except Exception as error:
            if not is_transient(error):
                raise
            return None
        return {"open": state.reason is None, "reason": state.reason}

    def unlimited(self, state: LaneState) -> bool:
        """Whether any number of requests may be sent now, and not one at a time."""
        return state.reason is None and state.allowance is None and not self.requests_per_minute

    def expected_s(self, requests: int, *, rate_per_minute: int | None = None) -> float | None:
        """About how long so many requests will take, by the limits or else by how long they took since the start."""
        limits = [limit for limit in (self.requests_per_minute, rate_per_minute) if limit]
        if limits:
            return requests * 60 / min(limits)
        seconds = metrics.mean_seconds(metrics.CLOUD_SECONDS, besides="ping")
        return None if seconds is None else requests * seconds / self.cloud.workers

    async def enter(self, connection: AsyncConnection, state: LaneState) -> None:
        """Take the right to send one request, or any number if `unlimited`, in the transaction that claims them.

        `state` is what `look` returned in it. Raises LaneShut.
        """
        if state.paused:
            raise LaneShut(None)
        if state.reason:
            if not await lane_row.take_probe(connection, self._probe_s(state.reason, state)):
                raise LaneShut(state.look_again_s)
        elif state.allowance is not None and not await lane_row.take_from_allowance(connection):
            raise LaneShut(state.look_again_s)
        if self.requests_per_minute:
            gap_s = 60 / self.requests_per_minute
            if not await lane_row.take_turn(connection, gap_s):
                raise LaneShut(gap_s)

    def _probe_s(self, reason: str, state: LaneState) -> float | None:
        return probe_s(reason, leaves_traces=self._leaves_traces(state))

    def _leaves_traces(self, state: LaneState) -> bool:
        return self.repeatable_with is not None and self.repeatable_with not in state.capabilities

    async def report(self, outcome: Outcome, *, entered: LaneState | None = None) -> None:
        """Write down what a request proved about the lane; `entered` is what it entered with.

        A request that was sent before the lane was stopped does not open it, whatever became of it; without `entered`
        any does. In transactions of its own, after the outcome is recorded: it touches rows of other folders, and must
        not hold the lane while it waits for them.
        """
        if isinstance(outcome, Done) and entered is not None and entered.untroubled:
            return  # as the row said then; failures counted since are for the requests that enter after them
        async with self.database.transaction() as connection:
            to_go = await self.judge(connection, outcome, entered)
        await self._let_go(to_go)

    async def judge(self, connection: AsyncConnection, outcome: Outcome, entered: LaneState | None) -> Freed | None:
        """The same within a transaction; who is to be let go after it."""
        match decide_after_request(outcome, entered):
            case Stop() as stop:
                await self._stop(connection, stop)
            case CountFailure(message):
                entered_as = "any" if entered is None else entered.reason or "open"
                if await lane_row.count_failure(connection, entered_as) >= FAILURES_TO_OPEN:
                    probe_in_s = self._probe_s("circuit_open", await self.look(connection))
                    await self._stop(connection, Stop("circuit_open", message, probe_in_s))
            case Open():
                return await self._open(connection, "any" if entered is None else entered.reason)
            case never:
                assert_never(never)
        return None

    async def ping(self) -> float | None:
        """The step of a reconcile loop: ask the cloud for its capabilities when it is time, one replica for all."""
        async with self.database.transaction() as connection:
            state = await self.look(connection)
            wait_s = ping_s(state, usual_s=self.ping_every_s, leaves_traces=self._leaves_traces(state))
            if not await lane_row.take_ping(connection, wait_s):
                return None
        outcome = await self.cloud.post("ping", "/ping", b"{}", repeatable=True)
        async with self.database.transaction() as connection:
            to_go = await self._heed(connection, outcome)
        await self._let_go(to_go)
        return None

    async def _heed(self, connection: AsyncConnection, outcome: Outcome) -> Freed | None:
        state = await self.look(connection)
        if isinstance(outcome, Done):
            await lane_row.put_capabilities(connection, names(outcome.data.get("capabilities")))
        match decide_after_ping(outcome, state, route=self.route):
            case Stop() as stop:
                await self._stop(connection, stop)
            case Open(call_back):
                opened = await self._open(connection, "any")
                return "all" if opened and call_back else opened
            case LetOneThrough():
                await lane_row.let_probe(connection)
                return "all"  # so that there is one that is due
            case SayWhy(message):
                await lane_row.put_message(connection, message)
            case None:
                pass
            case never:
                assert_never(never)
        return None

    async def _open(self, connection: AsyncConnection, stopped_as: str | None) -> Freed | None:
        was = await lane_row.open_again(connection, stopped_as)
        if was:
            log.info("lane open", was=was)
        return freed(was)

    async def _stop(self, connection: AsyncConnection, stop: Stop) -> None:
        await lane_row.stop(connection, stop.reason, stop.message, stop.probe_in_s)
        log.warning("lane stopped", reason=stop.reason, message=stop.message, probe_in_s=stop.probe_in_s)

    async def _let_go(self, to_go: Freed | None) -> None:
        if to_go == "all":
            async with self.database.transaction() as connection:
                await self.retry_now(connection)
        if to_go:
            self.wake()


@cache
def _stopped() -> dict[str, Gauge]:
    """The metric of each reason: looked up once, because every claim looks at the lane."""
    return {reason: metrics.LANE_STOPPED.labels(reason) for reason in (*PING_S, PAUSED)}
