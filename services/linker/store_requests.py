"""The SQL of the API's requests: when one first came, which is its place in the order however often it is sent.

Whoever got no answer sends a request again under its request_id. Counted from then, it would undo what others have
asked for in between. That is known for REMEMBERED; each new request clears away a few that are older.
"""

from datetime import datetime, timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.store_parked import target_key
from services.linker.target import Target
from shared.sql import text

REMEMBERED = timedelta(days=30)
CLEARED_AT_A_TIME = 10


class Requests:
    """One transaction's view of the table `api_request`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def first_asked(self, request_id: str, target: Target, *, now: datetime) -> datetime:
        """When this was asked for first: now, if it was not before."""
        await self._connection.execute(
            text("""
                delete from api_request where (request_id, target) in (
                    select request_id, target from api_request where requested_at < :before
                    order by requested_at limit :number for update skip locked)
            """),
            {"before": now - REMEMBERED, "number": CLEARED_AT_A_TIME},
        )
        first: datetime = (
            await self._connection.execute(
                text("""
                    insert into api_request (request_id, target, requested_at) values (:request_id, :target, :now)
                    on conflict (request_id, target) do update set requested_at = api_request.requested_at
                    returning requested_at
                """),
                {"request_id": request_id, "target": target_key(target), "now": now},
            )
        ).scalar_one()
        return first
