"""The lane: one service's traffic to the cloud, stopped and let go for all its replicas together. Its state is one row.

    reason         what is tried meanwhile                              what opens it
    not_reached    a ping a second                                      any answer to a ping
    unauthorized   a ping every few seconds                             a ping that is accepted
    rate_limited   nothing until the time the cloud named               a probe that succeeds
    no_route       one due request after a second, then one a minute    a probe that succeeds, or ping names the route
    circuit_open   one due request a second; pings reset their waits    a probe that succeeds
    paused         pings                                                a person (shared/pause.py)

A request that meets an outage may leave something behind that nobody knows of. Where that must not be repeated, none is
sent in an open circuit unless a ping was answered; each that is sent makes the wait for the next ping longer.

A pause lies over the others: what the cloud answers to pings, and to requests that were under way, counts as ever, and
shows again when the pause is over. While a lane is stopped nothing is rejected and nothing sleeps while it holds
something: rows wait. One request alone may be refused as if token or route were wrong for all: it waits by its own
failures, and a lane that opens after such a refusal does not call it back, else it would stop all others again and
again. A cloud that had too much to do is not met by all that has gathered meanwhile: two requests may be under way at
first, and one more for each that gets an answer, until there are so many that nobody waits any more.
"""

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared import metrics
from shared.backoff import MOST_S
from shared.cloud import Cloud
from shared.database import Database
from shared.lane_state import PAUSED, PROBE_S, LaneShut, LaneState, Paused
from shared.outcome import Done, NoRoute, NothingDone, Outcome, RateLimited, Unauthorized, Unknown
from shared.sql import text

log = structlog.get_logger()

FAILURES_TO_OPEN = 5
PING_S = {"not_reached": 1.0, "unauthorized": 3.0, "circuit_open": 5.0, "no_route": 60.0, "rate_limited": 60.0}
DEFAULT_RATE_WAIT_S = 10.0
# The first probe is another request than the one that was refused: it may have been that alone.
FIRST_PROBE_S = 1.0
# Stopped so by a request that may have been refused alone: whoever waits has a reason of its own.
REFUSED = ("unauthorized", "no_route")
# Stopped so, the cloud had too much to do, and what has gathered meanwhile is let go step by step.
PACED_AFTER = ("circuit_open", "rate_limited")
PACED_FIRST = 2
PACED_LAST = 32
# Whatever became of the requests under way: their processes may have died.
PACED_AT_LEAST_EVERY_S = 1.0

# What follows for those that wait: all are due at once, or whoever is due anyhow may go.
Freed = Literal["all", "due"]


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
        row = (
            await connection.execute(
                text("""
                    select reason, message, probe_at, probe_at <= now() as probe_due, failures, capabilities, allowance,
                        paused_at, paused_by, paused_why
                    from lane
                """)
            )
        ).one()
        metrics.LANE_OPEN.set(row.reason is None and row.paused_at is None)
        for reason in (*PING_S, PAUSED):
            metrics.LANE_STOPPED.labels(reason).set((PAUSED if row.paused_at else row.reason) == reason)
        state = LaneState(
            reason=row.reason,
            message=row.message,
            probe_at=row.probe_at,
            probe_due=bool(row.probe_due),
            failures=row.failures,
            capabilities=frozenset(row.capabilities or ()),
            met=row.reason,
            allowance=row.allowance,
        )
        return state.under(Paused(row.paused_at, row.paused_by, row.paused_why)) if row.paused_at else state

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
            if not await self._take_probe(connection, self._probe_s(state.reason, state.capabilities)):
                raise LaneShut(state.look_again_s)
        elif state.allowance is not None and not await self._take_from_allowance(connection):
            raise LaneShut(state.look_again_s)
        if self.requests_per_minute:
            gap_s = 60 / self.requests_per_minute
            if not await self._take_turn(connection, gap_s):
                raise LaneShut(gap_s)

    def _probe_s(self, reason: str, capabilities: frozenset[str]) -> float | None:
        """When the next probe may go, after one, or as the lane is stopped; None: once a ping was answered."""
        if reason == "circuit_open" and self._leaves_traces(capabilities):
            return None
        return PROBE_S.get(reason, 1.0)

    def _leaves_traces(self, capabilities: frozenset[str]) -> bool:
        return self.repeatable_with is not None and self.repeatable_with not in capabilities

    async def _take_probe(self, connection: AsyncConnection, next_in_s: float | None) -> bool:
        """In an open circuit it counts as a failure until its answer is there: nobody may live to report it."""
        taken = await connection.execute(
            text("""
                update lane set probe_at = now() + make_interval(secs => cast(:next_in_s as double precision)),
                    failures = failures + case when reason = 'circuit_open' then 1 else 0 end
                where probe_at <= now()
            """),
            {"next_in_s": next_in_s},
        )
        return bool(taken.rowcount)

    async def _take_turn(self, connection: AsyncConnection, gap_s: float) -> bool:
        taken = await connection.execute(
            text("""
                update lane set next_request_at = now() + make_interval(secs => :gap_s)
                where next_request_at is null or next_request_at <= now()
            """),
            {"gap_s": gap_s},
        )
        return bool(taken.rowcount)

    async def _take_from_allowance(self, connection: AsyncConnection) -> bool:
        taken = await connection.execute(
            text("""
                update lane set allowance = greatest(allowance - 1, 0),
                    probe_at = case when allowance > 0 then probe_at
                                    else now() + make_interval(secs => :at_least_every_s) end
                where reason is null and (allowance > 0 or probe_at <= now())
            """),
            {"at_least_every_s": PACED_AT_LEAST_EVERY_S},
        )
        return bool(taken.rowcount)

    async def report(self, outcome: Outcome, *, entered: LaneState | None = None) -> None:
        """Write down what a request proved about the lane; `entered` is what it entered with.

        A request that was sent before the lane was stopped does not open it, whatever became of it; without `entered`
        any does. In transactions of its own, after the outcome is recorded: it touches rows of other folders, and must
        not hold the lane while it waits for them.
        """
        if isinstance(outcome, Done) and entered is not None and entered.untroubled:
            return  # as the row said then; failures counted since are for the requests that enter after them
        async with self.database.transaction() as connection:
            freed = await self._judge(connection, outcome, entered)
        await self._let_go(freed)

    async def _judge(self, connection: AsyncConnection, outcome: Outcome, entered: LaneState | None) -> Freed | None:
        match outcome:
            case RateLimited(message, retry_after_s):
                await self._stop(
                    connection, "rate_limited", message, DEFAULT_RATE_WAIT_S if retry_after_s is None else retry_after_s
                )
            case Unauthorized(message):
                await self._stop(connection, "unauthorized", message, None)
            case NoRoute(message):
                probed = entered is not None and entered.reason == "no_route"
                await self._stop(connection, "no_route", message, PROBE_S["no_route"] if probed else FIRST_PROBE_S)
            case NothingDone(message) | Unknown(message):
                if await self._count_failure(connection, entered) >= FAILURES_TO_OPEN:
                    capabilities = (await self.look(connection)).capabilities
                    probe_in_s = self._probe_s("circuit_open", capabilities)
                    await self._stop(connection, "circuit_open", message, probe_in_s)
            case _:  # whatever else came, the cloud has looked at the request and answered
                return await self._open(connection, entered)
        return None

    async def ping(self) -> float | None:
        """The step of a reconcile loop: ask the cloud for its capabilities when it is time, one replica for all."""
        async with self.database.transaction() as connection:
            state = await self.look(connection)
            if not await self._take_ping(connection, self._ping_s(state)):
                return None
        outcome = await self.cloud.post("ping", "/ping", b"{}", repeatable=True)
        async with self.database.transaction() as connection:
            freed = await self._heed(connection, outcome)
        await self._let_go(freed)
        return None

    def _ping_s(self, state: LaneState) -> float:
        """How long after the last ping the next is due."""
        wait_s = PING_S.get(state.met or "", self.ping_every_s)
        if state.met == "circuit_open" and self._leaves_traces(state.capabilities):
            return min(wait_s * 2.0 ** min(state.failures - FAILURES_TO_OPEN, 20), MOST_S)
        return wait_s

    async def _let_go(self, freed: Freed | None) -> None:
        if freed == "all":
            async with self.database.transaction() as connection:
                await self.retry_now(connection)
        if freed:
            self.wake()

    async def _heed(self, connection: AsyncConnection, outcome: Outcome) -> Freed | None:
        state = await self.look(connection)
        match outcome:
            case Done(data):
                capabilities = _names(data.get("capabilities"))
                await self._put_capabilities(connection, capabilities)
                newly_there = self.route in capabilities and self.route not in state.capabilities
                if state.met == "no_route" and newly_there:
                    return await self._open(connection) and "all"
                if state.met in {"not_reached", "unauthorized"}:
                    return await self._open(connection)
                return await self._let_probe(connection) if state.met == "circuit_open" else None
            case Unauthorized(message):
                await self._stop(connection, "unauthorized", message, None)
            case NothingDone(message) | Unknown(message) if state.met == "not_reached":
                await self._put_message(connection, message)
            case NothingDone() | Unknown():
                pass  # what the requests themselves meet decides
            case _ if state.met == "not_reached":
                return await self._open(connection)  # it answers, though not to pings: it names no capabilities
            case _:
                return await self._let_probe(connection) if state.met == "circuit_open" else None
        return None

    async def _let_probe(self, connection: AsyncConnection) -> Freed:
        """An answered ping lets one request through that has waited for it; all are due, so that there is one."""
        await connection.execute(
            text("update lane set probe_at = now() where reason = 'circuit_open' and probe_at is null")
        )
        return "all"

    async def _take_ping(self, connection: AsyncConnection, wait_s: float) -> bool:
        """Whether it is this replica that pings now: nobody has for `wait_s` seconds."""
        due = await connection.execute(
            text("""
                update lane set pinged_at = now()
                where pinged_at is null or pinged_at <= now() - make_interval(secs => :wait_s)
            """),
            {"wait_s": wait_s},
        )
        return bool(due.rowcount)

    async def _put_capabilities(self, connection: AsyncConnection, named: Sequence[str]) -> None:
        await connection.execute(text("update lane set capabilities = :named"), {"named": named})

    async def _put_message(self, connection: AsyncConnection, message: str) -> None:
        await connection.execute(text("update lane set message = :message"), {"message": message})

    async def _open(self, connection: AsyncConnection, entered: LaneState | None = None) -> Freed | None:
        """None if it was not stopped. Only writes if there is something to change: this runs after every request."""
        stopped_as = "any" if entered is None else entered.reason
        row = (
            await connection.execute(
                text("""
                    update lane set reason = null, message = null, failures = 0,
                        allowance = case when reason = any(cast(:paced_after as text[])) then :first
                                         when allowance + 2 < :last then allowance + 2 end,
                        probe_at = case when reason = any(cast(:paced_after as text[]))
                                            then now() + make_interval(secs => :at_least_every_s)
                                        when allowance + 2 < :last then probe_at end
                    from (select reason as was from lane) old
                    where (reason is not null or failures > 0 or allowance is not null)
                        and (reason is null or cast(:stopped_as as text) in ('any', reason))
                        and not (reason is not distinct from 'rate_limited'
                                 and probe_at > now() + make_interval(secs => :probe_s))
                    returning old.was
                """),
                {
                    "stopped_as": stopped_as,
                    # A probe leaves that much; more was asked for after this one had been sent.
                    "probe_s": PROBE_S["rate_limited"],
                    "paced_after": list(PACED_AFTER),
                    "first": PACED_FIRST,
                    "last": PACED_LAST,
                    "at_least_every_s": PACED_AT_LEAST_EVERY_S,
                },
            )
        ).one_or_none()
        if not row or not row.was:
            return None
        log.info("lane open", was=row.was)
        return "due" if row.was in REFUSED else "all"

    async def _stop(self, connection: AsyncConnection, reason: str, message: str, probe_in_s: float | None) -> None:
        await connection.execute(
            text("""
                update lane set reason = cast(:reason as text), message = :message, allowance = null,
                    probe_at = greatest(now() + make_interval(secs => cast(:probe_in_s as double precision)),
                                        case when reason = 'rate_limited' and :no_sooner then probe_at end)
            """),
            {
                "reason": reason,
                "message": message,
                "probe_in_s": probe_in_s,
                "no_sooner": probe_in_s is not None and reason in {"rate_limited", "circuit_open"},
            },
        )
        log.warning("lane stopped", reason=reason, message=message, probe_in_s=probe_in_s)

    async def _count_failure(self, connection: AsyncConnection, entered: LaneState | None) -> int:
        """How many in a row there are with this; 0 if it does not count: one that was sent before the lane was stopped
        says nothing new, and a probe of an open circuit was counted as it was let in."""
        entered_as = "any" if entered is None else entered.reason or "open"
        counted = await connection.scalar(
            text("""
                update lane set failures = failures + 1
                where reason is distinct from 'circuit_open'
                    and cast(:entered_as as text) in ('any', coalesce(reason, 'open'))
                returning failures
            """),
            {"entered_as": entered_as},
        )
        return counted or 0


def _names(listed: object) -> list[str]:
    """Capabilities as the cloud lists them; what cannot be the name of one is left out."""
    names = listed if isinstance(listed, list) else []
    return sorted({name for name in names if isinstance(name, str) and re.fullmatch(r"[a-z0-9-]{1,50}", name)})
