"""A service's database as dicts of rows: a transaction is all or nothing, and nobody sees half of one.

Model of shared/database.py. Rows never change, so a copy of a database costs a few dicts: transactions, backups and
databases that are set back are all made of such copies. Transactions come one after another: what real ones do to each
other by their locks is for tests on PostgreSQL. SQL that no model stands for is refused with its text.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar, cast
from uuid import UUID

from sqlalchemy import TextClause
from sqlalchemy.ext.asyncio import AsyncConnection

from tests.simulation.clock import Clock
from tests.simulation.points import COMMITTED

T = TypeVar("T", bound="Tables")


class LaneRow(NamedTuple):
    """shared.tables.LaneColumns."""

    reason: str | None = "not_reached"
    message: str | None = None
    probe_at: datetime | None = None
    failures: int = 0
    allowance: int | None = None
    not_before: datetime | None = None
    next_request_at: datetime | None = None
    capabilities: tuple[str, ...] = ()
    pinged_at: datetime | None = None


class DeadLetterRow(NamedTuple):
    """shared.tables.DeadLetterColumns."""

    topic: str
    partition: int
    offset: int
    content: bytes
    key: bytes | None
    value: bytes
    reason: str
    error: str
    failed_at: datetime
    published_at: datetime | None


class Tables:
    """The tables that every service has; each attribute is one, by its primary key."""

    def __init__(self, made_at: datetime) -> None:
        self.position: dict[tuple[str, int], int] = {}
        self.replay_until: dict[tuple[str, int], int] = {}
        self.replay: dict[str, tuple[int, int, int]] = {}
        self.origin: dict[str, datetime] = {"created_at": made_at}
        self.dead_letter: dict[tuple[str, int, int, bytes], DeadLetterRow] = {}
        self.lease: dict[str, tuple[UUID, datetime]] = {}
        self.lane: dict[str, LaneRow] = {"one": LaneRow()}

    def copy(self) -> dict[str, dict[Any, Any]]:
        """All rows as they are."""
        return {name: table.copy() for name, table in vars(self).items()}

    def put_back(self, copy: dict[str, dict[Any, Any]]) -> None:
        """Be again what `copy` was."""
        for name, table in copy.items():
            setattr(self, name, table)

    def free_leases(self, now: datetime) -> None:  # noqa: ARG002  # what services' own tables ask for
        """What a service's FREE_LEASES does at its start, if it is alone."""
        self.lease = {}


class CommitFailed(OSError):
    """The connection broke at the commit: whether it took place, nobody told."""


class Connection:
    """One transaction's view. Only what a model's method asks for exists."""

    def __init__(self, tables: Tables, now: datetime) -> None:
        self.tables = tables
        self.now = now

    def begin_nested(self) -> "_Savepoint":
        """A savepoint."""
        return _Savepoint(self.tables)

    async def execute(self, statement: TextClause, _: object = None) -> None:
        """Notifications only; nothing waits for them here."""
        if "pg_notify" not in statement.text:
            raise NotImplementedError(f"no model for: {statement}")


class _Savepoint:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    async def __aenter__(self) -> Self:
        self._before = self._tables.copy()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind:
            self._tables.put_back(self._before)


Hook = Callable[[str, dict[str, dict[Any, Any]]], None]


@dataclass(eq=False)
class ModelDatabase:
    """`committed(task, before)` is called after every commit; `running` names the step that runs at present.

    `commits_fail`: what becomes of the next commits: True if it takes place all the same.
    """

    service: str
    clock: Clock
    tables: Tables
    committed: Hook
    running: Callable[[], str]
    commits_fail: list[bool] = field(default_factory=list)
    failed_commits: int = 0
    listens: bool = False  # each wakes its own loops

    @property
    def now(self) -> datetime:
        """The database's own clock."""
        return self.clock.now(self.service)

    def transaction(self) -> "_Transaction":
        """As shared.database.Database's."""
        return _Transaction(self)


class _Transaction:
    def __init__(self, database: ModelDatabase) -> None:
        self._database = database

    async def __aenter__(self) -> AsyncConnection:
        database = self._database
        self._before = database.tables.copy()
        return cast("AsyncConnection", Connection(database.tables, database.now))

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        database = self._database
        if kind:
            database.tables.put_back(self._before)
            return
        takes_place = database.commits_fail.pop() if database.commits_fail else None
        if takes_place is False:
            database.tables.put_back(self._before)
        else:
            database.committed(database.running(), self._before)
        if takes_place is not None:
            database.failed_commits += 1
            raise CommitFailed("the connection broke at the commit")
        await COMMITTED


def tables_of(connection: AsyncConnection, kind: type[T]) -> T:
    """The modelled tables behind a connection."""
    tables = cast("Connection", connection).tables
    assert isinstance(tables, kind)
    return tables


def now_of(connection: AsyncConnection) -> datetime:
    """The database's now(): the same through the whole transaction."""
    return cast("Connection", connection).now
