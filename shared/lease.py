"""A lease on a name: of all processes on one database, one at a time does the thing.

For work that is not divided into lots, such as announcing in order. A holder that dies is replaced when its lease ends;
a holder that slept through that must not rely on it: what it does late must be harmless (see `shared/announce.py`).
"""

from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.sql import text


async def take(connection: AsyncConnection, name: str, token: UUID, *, seconds: float) -> bool:
    """Take or prolong the lease. False: somebody else holds it."""
    taken = await connection.execute(
        text("""
            insert into lease (name, token, until) values (:name, :token, now() + make_interval(secs => :seconds))
            on conflict (name) do update set token = excluded.token, until = excluded.until
            where lease.token = excluded.token or lease.until < now()
        """),
        {"name": name, "token": token, "seconds": seconds},
    )
    return taken.rowcount == 1


async def give_back(connection: AsyncConnection, name: str, token: UUID) -> None:
    """End the lease early, so that the next holder need not wait."""
    await connection.execute(
        text("delete from lease where name = :name and token = :token"), {"name": name, "token": token}
    )
