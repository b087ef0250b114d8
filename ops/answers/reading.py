"""How far the services have read their topics."""

from datetime import datetime

from ops.answers import Answer


class Position(Answer):
    """The next record that a service will fold of one partition."""

    topic: str
    partition: int
    next_offset: int


class Positions(Answer):
    """How far a service has folded."""

    positions: list[Position]


class PartitionLag(Answer):
    """How far a service is behind in one partition; see its API."""

    topic: str
    partition: int
    next_offset: int
    end_offset: int
    behind: int
    unread_since: datetime | None
    last_minute: int


class Lag(Answer):
    """How far a service is behind its topics."""

    at: datetime
    partitions: list[PartitionLag]
