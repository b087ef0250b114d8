"""The rules of the lane's row, over the model.

Stands for the SQL of shared/lane_row.py; tests hold both to the same on PostgreSQL.
"""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.lane_row import PACED_AFTER, PACED_AT_LEAST_EVERY_S, PACED_FIRST, PACED_LAST
from shared.lane_state import LaneState
from tests.simulation.database import Tables, now_of, tables_of


async def look(connection: AsyncConnection) -> LaneState:
    """shared.lane_row.look."""
    row, now = tables_of(connection, Tables).lane["one"], now_of(connection)
    due = row.probe_at is not None and row.probe_at <= now
    return LaneState(
        row.reason,
        row.message,
        row.probe_at,
        due,
        row.failures,
        frozenset(row.capabilities),
        row.reason,
        row.allowance,
    )


async def take_probe(connection: AsyncConnection, next_in_s: float | None) -> bool:
    """shared.lane_row.take_probe."""
    lane, now = tables_of(connection, Tables).lane, now_of(connection)
    row = lane["one"]
    if row.probe_at is None or row.probe_at > now:
        return False
    probe_at = None if next_in_s is None else now + timedelta(seconds=next_in_s)
    lane["one"] = row._replace(probe_at=probe_at, failures=row.failures + (row.reason == "circuit_open"))
    return True


async def take_turn(connection: AsyncConnection, gap_s: float) -> bool:
    """shared.lane_row.take_turn."""
    lane, now = tables_of(connection, Tables).lane, now_of(connection)
    next_at = lane["one"].next_request_at
    if next_at is not None and next_at > now:
        return False
    lane["one"] = lane["one"]._replace(next_request_at=now + timedelta(seconds=gap_s))
    return True


async def take_from_allowance(connection: AsyncConnection) -> bool:
    """shared.lane_row.take_from_allowance."""
    lane, now = tables_of(connection, Tables).lane, now_of(connection)
    row = lane["one"]
    if row.reason is not None or row.allowance is None:
        return False
    if row.allowance > 0:
        lane["one"] = row._replace(allowance=row.allowance - 1)
    elif row.probe_at is not None and row.probe_at <= now:
        lane["one"] = row._replace(probe_at=now + timedelta(seconds=PACED_AT_LEAST_EVERY_S))
    else:
        return False
    return True


async def take_ping(connection: AsyncConnection, wait_s: float) -> bool:
    """shared.lane_row.take_ping."""
    lane, now = tables_of(connection, Tables).lane, now_of(connection)
    pinged_at = lane["one"].pinged_at
    if pinged_at is not None and pinged_at > now - timedelta(seconds=wait_s):
        return False
    lane["one"] = lane["one"]._replace(pinged_at=now)
    return True


async def put_capabilities(connection: AsyncConnection, named: Sequence[str]) -> None:
    """shared.lane_row.put_capabilities."""
    lane = tables_of(connection, Tables).lane
    lane["one"] = lane["one"]._replace(capabilities=tuple(named))


async def put_message(connection: AsyncConnection, message: str) -> None:
    """shared.lane_row.put_message."""
    lane = tables_of(connection, Tables).lane
    lane["one"] = lane["one"]._replace(message=message)


async def open_again(connection: AsyncConnection, stopped_as: str | None) -> str | None:
    """shared.lane_row.open_again."""
    lane = tables_of(connection, Tables).lane
    row = lane["one"]
    changes = row.reason is not None or row.failures > 0 or row.allowance is not None
    if not changes or (row.reason is not None and stopped_as not in {"any", row.reason}):
        return None
    if row.reason == "rate_limited" and row.not_before is not None and row.not_before > now_of(connection):
        return None
    if row.reason in PACED_AFTER:
        allowance, probe_at = PACED_FIRST, now_of(connection) + timedelta(seconds=PACED_AT_LEAST_EVERY_S)
        lane["one"] = row._replace(allowance=allowance, probe_at=probe_at)
    elif row.allowance is not None and row.allowance + 2 < PACED_LAST:
        lane["one"] = row._replace(allowance=row.allowance + 2)
    else:
        lane["one"] = row._replace(allowance=None, probe_at=None)
    lane["one"] = lane["one"]._replace(reason=None, message=None, failures=0)
    return row.reason


async def stop(connection: AsyncConnection, reason: str, message: str, probe_in_s: float | None) -> None:
    """shared.lane_row.stop."""
    lane = tables_of(connection, Tables).lane
    row = lane["one"]
    ends_at = None if probe_in_s is None else now_of(connection) + timedelta(seconds=probe_in_s)
    not_before, probe_at = row.not_before, ends_at
    if reason == "rate_limited":
        not_before = max(filter(None, (not_before, ends_at)), default=None)
    if reason in {"rate_limited", "circuit_open"} and ends_at is not None:
        probe_at = max(filter(None, (ends_at, row.not_before)))
    lane["one"] = row._replace(reason=reason, message=message, probe_at=probe_at, not_before=not_before, allowance=None)


async def let_probe(connection: AsyncConnection) -> None:
    """shared.lane_row.let_probe."""
    lane = tables_of(connection, Tables).lane
    if lane["one"].reason == "circuit_open" and lane["one"].probe_at is None:
        now, asked = now_of(connection), lane["one"].not_before
        lane["one"] = lane["one"]._replace(probe_at=max(now, asked) if asked else now)


async def count_failure(connection: AsyncConnection, entered_as: str) -> int:
    """shared.lane_row.count_failure."""
    lane = tables_of(connection, Tables).lane
    reason = lane["one"].reason
    if reason == "circuit_open" or entered_as not in {"any", reason or "open"}:
        return 0
    lane["one"] = lane["one"]._replace(failures=lane["one"].failures + 1)
    return lane["one"].failures
