"""The database of one service: its engine, its one commit point, its wake-up channel.

Everything that is stored goes through `Database.transaction`; nothing else commits. Errors are sorted here into the
three kinds that the rest of the code knows: transient (try later), refused (this value cannot be stored), and
everything else, which is a bug and ends the process with nothing moved.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TypeAlias

import asyncpg
import structlog
from sqlalchemy import URL, make_url
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from shared.sql import text

log = structlog.get_logger()

CHANNEL = "ticketsync_wake"
WAIT_FOR_LISTENER_S = 2.0
ARRIVE_TIMEOUT_S = 15.0
# A process that stands still in the middle of a transaction, stopped with its machine for example, keeps its locks no
# longer than this; no transaction waits for anything but the database.
IDLE_IN_TRANSACTION_MS = 30_000
# A plan that is kept is one for the table as it was: made while it was empty, it passes over all of its rows once it is
# not, and for minutes. To plan each statement anew costs a tenth of a millisecond, whatever number of rows it is for.
# Its default price for a look into an index is that of a turning disk: below some hundred thousand rows, a batch's
# thousand looks would seem to cost more than to pass over the whole table, which takes ten times as long.
SESSION = {
    "timezone": "UTC",
    "plan_cache_mode": "force_custom_plan",
    "random_page_cost": "1.1",
    "idle_in_transaction_session_timeout": str(IDLE_IN_TRANSACTION_MS),
}
Session: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_PRESENCE = 7_411_002  # any constant; the lock belongs to one database, and that to one service

# SQLSTATE classes (PostgreSQL manual, appendix A).
# A unique violation is always a race here: whatever may be there already is written with ON CONFLICT.
# 25P03: it stood still for too long in the middle of a transaction.
# 55000 on a connection: the database takes none for now, as while a copy of it is made.
_TRANSIENT = ("08", "23505", "25P03", "40", "53", "55000", "55P03", "57P", "58", "3D000", "25006")
_REFUSED = ("22", "23", "54")
# How asyncpg finds a connection that the server has cut between two steps of a statement.
_CUT = asyncpg.InternalClientError
_CAPITAL = re.compile("(?=[A-Z])")


class Database:
    """One PostgreSQL database (15 or later) and the pool that this process holds on it.

    `listens`: what is notified reaches this process (see `listen`). `answered_at`: when a transaction last ended as it
    was to, by the monotonic clock; some loop of every service has one each second.
    """

    def __init__(self, url: str, *, pool_size: int = 12) -> None:
        self.url: URL = make_url(url)
        self.listens = False
        self.answered_at = time.monotonic()
        self._arrived: Session | None = None
        self._engine = create_async_engine(
            self.url,
            pool_size=pool_size,
            max_overflow=0,
            hide_parameters=True,
            pool_timeout=20,
            connect_args={"timeout": 10, "command_timeout": 60, "server_settings": SESSION},
        )

    @asynccontextmanager
    async def transaction(self, *, keep: bool = True) -> AsyncIterator[AsyncConnection]:
        """One transaction: committed when the block ends, rolled back when it raises; always unless `keep`."""
        try:
            async with self._engine.begin() if keep else self._engine.connect() as connection:
                yield connection
        except _CUT as error:
            raise ConnectionResetError("the connection to the database was cut") from error
        self.answered_at = time.monotonic()

    async def close(self) -> None:
        """Give every connection back to the server."""
        if self._arrived:
            self._arrived.terminate()
        await self._engine.dispose()

    async def arrive(self, free: Callable[[], Awaitable[None]]) -> None:
        """Be seen by all who come later, until this process dies or `listen` ends. To be called before it leases.

        Calls `free` if nobody else is there: what is leased then has lost its holder. PostgreSQL gives back a dead
        process's lock at once, so this need not wait for a lease to end. Of those that come at the same moment one is
        alone, and the others wait until it can be seen. Raises OSError, and what `free` does.
        """
        try:
            session = self._arrived = await self._session()
            alone = await session.fetchval("select pg_try_advisory_lock($1)", _PRESENCE, timeout=ARRIVE_TIMEOUT_S)
            if alone:
                await free()
            await _be_seen(session)
            if alone:
                await session.execute("select pg_advisory_unlock($1)", _PRESENCE, timeout=ARRIVE_TIMEOUT_S)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, _CUT) as error:
            raise ConnectionResetError("the connection to the database was cut") from error

    async def listen(self, wake: Callable[[str], None]) -> None:
        """Call `wake(name)` for every NOTIFY of any process on this database; runs until cancelled.

        A lost connection is opened again. What was notified meanwhile is lost, which costs a loop one beat and no more.
        """
        while True:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, _CUT):
                await self._listen_once(wake)
            await asyncio.sleep(WAIT_FOR_LISTENER_S)

    async def _session(self) -> Session:
        address = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return await asyncpg.connect(address, timeout=10)

    async def _listen_once(self, wake: Callable[[str], None]) -> None:
        arrived, self._arrived = self._arrived, None
        connection = arrived or await self._session()
        lost = asyncio.Event()
        try:
            connection.add_termination_listener(lambda _: lost.set())
            if not arrived:
                await _be_seen(connection)
            await connection.add_listener(CHANNEL, lambda *message: wake(message[3]))
            self.listens = True
            await lost.wait()
        finally:
            self.listens = False
            connection.terminate()


async def _be_seen(session: Session) -> None:
    await session.execute("select pg_advisory_lock_shared($1)", _PRESENCE, timeout=ARRIVE_TIMEOUT_S)


async def notify(connection: AsyncConnection, names: Iterable[str]) -> None:
    """Wake the loops of these names in every process once the transaction is committed."""
    for name in sorted(set(names)):
        await connection.execute(text("select pg_notify(:channel, :name)"), {"channel": CHANNEL, "name": name})


def sqlstate(error: BaseException) -> str:
    """The five characters by which PostgreSQL names an error, empty if there are none."""
    origin = error.orig if isinstance(error, DBAPIError) else error
    return str(getattr(origin, "sqlstate", None) or getattr(origin, "pgcode", None) or "")


def broken_rule(error: DBAPIError) -> str:
    """Which rule the values break, for a person: from the names that PostgreSQL sends beside its message.

    The message itself may quote the values, so nothing of it is used.
    """
    cause = error.orig.__cause__ if error.orig else None
    table, column, constraint = (getattr(cause, f"{name}_name", None) for name in ("table", "column", "constraint"))
    if constraint:
        return f"rule {constraint} of table {table}"
    if column:
        return f"column {column} of table {table} must not be empty"
    return _CAPITAL.sub(" ", type(cause).__name__.removesuffix("Error")).strip().lower()


def in_short(error: BaseException) -> str:
    """What PostgreSQL itself says, for a person; else the kind of error, as the driver's own text names the host.

    Only the first line is PostgreSQL's message: those below it may quote values.
    """
    cause = error
    if isinstance(error, DBAPIError) and error.orig:
        cause = error.orig.__cause__ or error.orig
    if isinstance(cause, asyncpg.PostgresError):
        return str(cause).partition("\n")[0]
    return type(cause).__name__


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction can succeed later: connection lost, server stopping, deadlock, disk full."""
    if isinstance(error, OSError | TimeoutError | PoolTimeout | InterfaceError | asyncpg.InterfaceError):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return sqlstate(error).startswith(_TRANSIENT)


def is_refused(error: BaseException) -> bool:
    """Whether the database refuses the values themselves, and always will: range, encoding, constraint."""
    return sqlstate(error).startswith(_REFUSED) and not is_transient(error)
