"""Pausing a lane, and letting it go on: a person's word, as a row, for all replicas and over every restart.

Requests that are under way end as ever, and what they meet is recorded; of a large folder some may follow within a
second. Then none is sent until somebody lets the lane go on. Nothing else is held up: topics are folded, and what waits
is shown as blocked, with who paused it and why.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from shared import audit
from shared.sql import text


async def pause(connection: AsyncConnection, *, who: str | None, why: str) -> None:
    """Stop the lane. One that is paused already is so from now on by this word."""
    await connection.execute(
        text("update lane set paused_at = now(), paused_by = :who, paused_why = :why"), {"who": who, "why": why}
    )
    await audit.record(connection, who=who, what="lane_paused", subject="lane", detail={"why": why})


async def resume(connection: AsyncConnection, *, who: str | None) -> bool:
    """Let the lane go on, as far as the cloud lets it. False: it was not paused, and nothing has changed."""
    resumed = await connection.execute(
        text("""
            update lane set paused_at = null, paused_by = null, paused_why = null where paused_at is not null
        """)
    )
    if not resumed.rowcount:
        return False
    await audit.record(connection, who=who, what="lane_resumed", subject="lane", detail={})
    return True
