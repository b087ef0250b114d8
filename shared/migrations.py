"""Brings one service's database to the tables that its code expects, and tells whether it is there.

Each service keeps its Alembic revisions in services/<name>/migrations/. Two replicas that start at once take turns
under an advisory lock, so either may be told to migrate.
"""

import asyncio
from functools import cache
from importlib import resources
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, MetaData, text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.settings import ConfigurationError

_LOCK = 7_411_001  # any constant; the lock belongs to one database, and that to one service


def upgrade(service: str, database_url: str) -> None:
    """Apply what is missing. `service` is the package's name, such as "cloud_updater"."""
    asyncio.run(_with_connection(database_url, lambda connection: _upgrade(service, connection)))


@cache
def wanted(service: str) -> str | None:
    """The newest revision of this code."""
    return ScriptDirectory.from_config(_config(service)).get_current_head()


def require_current(service: str, database_url: str) -> None:
    """Raise ConfigurationError unless the database is exactly at this code's newest revision."""
    found = asyncio.run(_with_connection(database_url, _revision))
    if found != wanted(service):
        state = "is empty" if found is None else f"is at revision {found}"
        raise ConfigurationError(
            f"{service.upper()}_DATABASE_URL: the database {state}, this version needs {wanted(service)}; "
            f"run `ticketsync migrate {service.replace('_', '-')}` or start with --migrate"
        )


def run_env(metadata: MetaData, config: Config) -> None:
    """What a service's migrations/env.py does: run the revisions on the connection that `upgrade` hands over."""
    from alembic import context  # only usable while a command runs  # noqa: PLC0415

    context.configure(connection=config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()


def _upgrade(service: str, connection: Connection) -> None:
    connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
    config = _config(service)
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _revision(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _config(service: str) -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(str(resources.files(f"services.{service}"))) / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


async def _with_connection(database_url: str, work):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
    engine = create_async_engine(database_url, connect_args={"timeout": 10})
    try:
        async with engine.begin() as connection:
            return await connection.run_sync(work)
    finally:
        await engine.dispose()
