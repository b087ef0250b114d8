"""What a service knows of where it runs, for whoever looks after it: versions, clocks, sizes, and the cloud by a ping.

Each part is asked by itself, so that one that is down hides nothing of the others.
"""

import platform
from datetime import UTC, datetime
from importlib.metadata import version

from pydantic import BaseModel

from shared.database import Database, in_short, is_transient
from shared.lane import Lane
from shared.migrations import wanted
from shared.outcome import Done, Outcome
from shared.sql import text


class DatabaseAbout(BaseModel):
    """The service's own database. `ahead_s`: how far its clock is ahead of the service's. `tables` and `tables_wanted`:
    the revision of its tables, null if it has none, and the one of the service's release.
    """

    version: str
    size_bytes: int
    ahead_s: float
    tables: str | None
    tables_wanted: str | None


class CloudAbout(BaseModel):
    """What a ping with the service's token led to just now; `message` says why not. `ahead_s`: by the answer's Date."""

    answers: bool
    outcome: str
    message: str | None
    ahead_s: float | None
    capabilities: list[str]


class AboutAnswer(BaseModel):
    """A service and what it rests on. `database` is null while it does not answer, and `database_error` says why.

    `cloud` is null then, and where the service does not call it.
    """

    service: str
    version: str
    python: str
    now: datetime
    database: DatabaseAbout | None
    database_error: str | None = None
    cloud: CloudAbout | None


async def about(name: str, database: Database, lane: Lane | None) -> AboutAnswer:
    """Look at it now."""
    found, cloud, why = None, None, None
    try:
        found = await _database(name, database)
        cloud = await _cloud(lane) if lane else None
    except Exception as error:
        if not is_transient(error):
            raise
        why = in_short(error)
    return AboutAnswer(
        service=name,
        version=version("ticketsync"),
        python=platform.python_version(),
        now=datetime.now(UTC),
        database=found,
        database_error=why,
        cloud=cloud,
    )


async def _database(name: str, database: Database) -> DatabaseAbout:
    async with database.transaction() as connection:
        before = datetime.now(UTC)
        row = (
            await connection.execute(
                text("""
                    select clock_timestamp() as now, current_setting('server_version') as version,
                        pg_database_size(current_database()) as size_bytes,
                        to_regclass('alembic_version') is not null as migrated
                """)
            )
        ).one()
        after = datetime.now(UTC)
        # A statement that names a table which is not there is refused as a whole.
        tables = await connection.scalar(text("select version_num from alembic_version")) if row.migrated else None
    return DatabaseAbout(
        version=row.version,
        size_bytes=row.size_bytes,
        ahead_s=_outside(row.now, before, after),
        tables=tables,
        tables_wanted=wanted(name),
    )


async def _cloud(lane: Lane) -> CloudAbout:
    before = datetime.now(UTC)
    outcome: Outcome = await lane.cloud.post("ping", "/ping", b"{}", repeatable=True)
    after = datetime.now(UTC)
    dated = lane.cloud.dated
    async with lane.database.transaction() as connection:
        capabilities = (await lane.look(connection)).capabilities
    return CloudAbout(
        answers=isinstance(outcome, Done),
        outcome=type(outcome).__name__,
        message=None if isinstance(outcome, Done) else outcome.message,
        ahead_s=None if dated is None else _outside(dated, before, after),
        capabilities=sorted(capabilities),
    )


def _outside(moment: datetime, before: datetime, after: datetime) -> float:
    """Seconds by which a moment lies outside of the time in which it was taken; 0: nothing is known to be wrong."""
    if moment > after:
        return (moment - after).total_seconds()
    return min(0.0, (moment - before).total_seconds())
