"""The services' databases as `migrate` and `run` use them: what keeps one from answering becomes one clear message.

Commands import this on demand: SQLAlchemy and Alembic take longer to import than most commands to run.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from ops.addresses import SETTING_OF_KEY, Service
from ops.exits import Misconfigured, Unreachable
from shared import migrations
from shared.settings import check_database_url

REFUSALS = (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError)
CHECK_URL = "Are the user, the password and the name of the database in it right, and does the database exist?"
IS_IT_RUNNING = "Is PostgreSQL running, and are the host and port in it right?"


def upgrade(service: Service, url: str) -> None:
    """Apply the migrations that the database lacks. Raises Unreachable or Misconfigured."""
    _check_address(service, url)
    with database_answers(service):
        migrations.upgrade(service, url)


def _check_address(service: Service, url: str) -> None:
    try:
        check_database_url(url)
    except ValueError as error:
        raise Misconfigured(f"{SETTING_OF_KEY[f'{service}_database_url']} {error}") from None


@contextmanager
def database_answers(service: Service) -> Iterator[None]:
    """Around any use of a database. No message holds its URL, because that holds the password."""
    setting = SETTING_OF_KEY[f"{service}_database_url"]
    try:
        yield
    except (OSError, asyncpg.PostgresConnectionError, SQLAlchemyError, *REFUSALS) as error:
        told = _told_by_the_driver(error)
        if isinstance(told, REFUSALS):
            raise Misconfigured(f"{setting} is refused: {told}", todo=CHECK_URL) from None
        why = str(error) if isinstance(error, OSError) else type(error).__name__
        raise Unreachable(f"the database of {setting} does not answer ({why})", todo=IS_IT_RUNNING) from None


def _told_by_the_driver(error: Exception) -> BaseException:
    """The driver's own error: SQLAlchemy wraps it in one of its own, and that once more."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        return error.orig.__cause__ or error.orig
    return error
