"""A service and what it rests on."""

from datetime import datetime

from ops.answers import Answer


class DatabaseAbout(Answer):
    """A service's own database, as the service sees it."""

    version: str
    size_bytes: int
    ahead_s: float
    tables: str | None
    tables_wanted: str | None


class CloudPing(Answer):
    """What a service's ping to the cloud led to."""

    answers: bool
    outcome: str
    message: str | None
    ahead_s: float | None
    capabilities: list[str]


class About(Answer):
    """A service and what it rests on."""

    version: str
    python: str
    now: datetime
    database: DatabaseAbout | None
    database_error: str | None = None
    cloud: CloudPing | None
