"""The lane's row: its statements, each one rule. What they are used for: shared/lane.py.

Every process of a service writes the row, and none holds it for longer than a statement's transaction: who may send
the one request that is let through is decided by whose update finds the row as it must be.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.lane_state import LaneState, Paused
from shared.sql import text

# Stopped so, the cloud had too much to do, and what has gathered meanwhile is let go step by step.
PACED_AFTER = ("circuit_open", "rate_limited")
PACED_FIRST = 2
PACED_LAST = 32
# Whatever became of the requests under way: their processes may have died.
PACED_AT_LEAST_EVERY_S = 1.0


async def look(connection: AsyncConnection) -> LaneState:
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


async def take_probe(connection: AsyncConnection, next_in_s: float | None) -> bool:
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


async def take_turn(connection: AsyncConnection, gap_s: float) -> bool:
    """Whether nobody has sent for `gap_s` seconds."""
    taken = await connection.execute(
        text("""
            update lane set next_request_at = now() + make_interval(secs => :gap_s)
            where next_request_at is null or next_request_at <= now()
        """),
        {"gap_s": gap_s},
    )
    return bool(taken.rowcount)


async def take_from_allowance(connection: AsyncConnection) -> bool:
    """One of the requests that may be begun while what has gathered is let go step by step."""
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


async def take_ping(connection: AsyncConnection, wait_s: float) -> bool:
    """Whether it is this replica that pings now: nobody has for `wait_s` seconds."""
    due = await connection.execute(
        text("""
            update lane set pinged_at = now()
            where pinged_at is null or pinged_at <= now() - make_interval(secs => :wait_s)
        """),
        {"wait_s": wait_s},
    )
    return bool(due.rowcount)


async def put_capabilities(connection: AsyncConnection, named: Sequence[str]) -> None:
    """What the cloud says that it can."""
    await connection.execute(text("update lane set capabilities = :named"), {"named": named})


async def put_message(connection: AsyncConnection, message: str) -> None:
    """What it is stopped for, in other words."""
    await connection.execute(text("update lane set message = :message"), {"message": message})


async def let_probe(connection: AsyncConnection) -> None:
    """Let one request through that has waited for an answered ping, but not before the time the cloud named."""
    await connection.execute(
        text("""
            update lane set probe_at = greatest(now(), not_before) where reason = 'circuit_open' and probe_at is null
        """)
    )


async def open_again(connection: AsyncConnection, stopped_as: str | None) -> str | None:
    """Open the lane, if it is stopped as whoever says so has entered ("any": whatever it is stopped as).

    Returns why it was stopped; None if it was not. Only writes if there is something to change: this runs after every
    request.
    """
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
                    and not (reason is not distinct from 'rate_limited' and coalesce(not_before > now(), false))
                returning old.was
            """),
            {
                "stopped_as": stopped_as,
                "paced_after": list(PACED_AFTER),
                "first": PACED_FIRST,
                "last": PACED_LAST,
                "at_least_every_s": PACED_AT_LEAST_EVERY_S,
            },
        )
    ).one_or_none()
    return row.was if row else None


async def stop(connection: AsyncConnection, reason: str, message: str, probe_in_s: float | None) -> None:
    """Stop the lane for everybody; the first probe goes after so long, None: when somebody lets it.

    What the cloud itself has asked for counts through whatever it is stopped for next: the longest of it, if several
    were asked for.
    """
    await connection.execute(
        text("""
            update lane set reason = cast(:reason as text), message = :message, allowance = null,
                not_before = case when :asked then greatest(not_before, wait.ends_at) else not_before end,
                probe_at = greatest(wait.ends_at, case when :no_sooner then not_before end)
            from (select now() + make_interval(secs => cast(:probe_in_s as double precision)) as ends_at) wait
        """),
        {
            "reason": reason,
            "message": message,
            "probe_in_s": probe_in_s,
            "asked": reason == "rate_limited",
            "no_sooner": probe_in_s is not None and reason in {"rate_limited", "circuit_open"},
        },
    )


async def count_failure(connection: AsyncConnection, entered_as: str) -> int:
    """How many in a row there are with this; 0 if it does not count: one that was sent before the lane was stopped
    says nothing new, and a probe of an open circuit was counted as it was let in. `entered_as`: "open", as what the
    lane was stopped then, or "any"."""
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
