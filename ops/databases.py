"""The services' databases as the commands use them: what keeps one from answering becomes one clear message.

Commands import this on demand: SQLAlchemy and Alembic take longer to import than most commands to run.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import SQLAlchemyError

from ops.addresses import SETTING_OF_KEY, Service
from ops.exits import Finding, Misconfigured, Unreachable
from shared import migrations
from shared.settings import ConfigurationError, check_database_url


def upgrade(service: Service, url: str) -> None:
    """Apply the migrations that the database lacks. Raises Unreachable or Misconfigured."""
    _check_address(service, url)
    with database_answers(service):
        migrations.upgrade(service, url)


def require_current(service: Service, url: str) -> None:
    """Raise Finding unless the database has this version's tables; raises Unreachable or Misconfigured too."""
    _check_address(service, url)
    with database_answers(service):
        try:
            migrations.require_current(service, url)
        except ConfigurationError as error:
            raise Finding(str(error), todo=f"ticketsync migrate {service.replace('_', '-')}") from None


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
    except (asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise Misconfigured(f"{setting} is refused: {error}") from None
    except (OSError, asyncpg.PostgresConnectionError, SQLAlchemyError) as error:
        why = str(error) if isinstance(error, OSError) else type(error).__name__
        raise Unreachable(f"the database of {setting} does not answer ({why})") from None
