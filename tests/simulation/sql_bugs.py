"""Deliberate bugs in SQL: each takes one rule out of the stores' statements, on their way to PostgreSQL.

The simulation cannot see them, for it runs over models; the contract between models and SQL must. A bug is a piece of a
statement and what stands there instead, for one service or for all.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.simulation.processes import SERVICES
from tests.simulation.recording import Trace
from tests.simulation.walk import walk

# A lost lease, say, is asked about by few of the calls: each run is walked through so often, until an answer differs.
WALKS = 8


Traces = Sequence[Trace]
Engines = Mapping[str, AsyncEngine]


@dataclass(frozen=True)
class SqlBug:
    """`stands` must be found in a statement, else nothing was taken out and nothing is proven."""

    name: str
    what: str
    stands: str
    instead: str
    services: Sequence[str] = SERVICES


@dataclass(frozen=True)
class Noticed:
    """`answer`: the first that differed; None if none did. `applied`: how many statements were changed."""

    bug: SqlBug
    applied: int
    answer: str | None


SQL_BUGS = (
    SqlBug(
        "announcer's lease taken from its holder",
        "whoever asks for a lease gets it",
        "where lease.token = excluded.token or lease.until < now()",
        "",
    ),
    SqlBug(
        "folder claimed from its holder",
        "a folder that somebody pushes is claimed by the next who comes",
        "due_at <= now() and (lease_until is null or lease_until < now()) and",
        "(due_at <= now() or lease_until is not null) and",
        ("cloud_updater",),
    ),
    SqlBug(
        "success without a lease",
        "a push counts although its lease was lost",
        "and l.lease_token = u.token",
        "",
        ("cloud_updater",),
    ),
    SqlBug(
        "parked again",
        "a request that has had its turn waits again when it comes again",
        "where parked_link.requested_at < excluded.requested_at",
        "",
        ("linker",),
    ),
    SqlBug(
        "no grace for a ticket",
        "a recording that requires a ticket is uploaded without waiting for it",
        "(not r.requires_ticket or r.folded_at",
        "(true or r.folded_at",
        ("transfer",),
    ),
    SqlBug(
        "second push at once",
        "a second push does not wait until what was sent before can have had its effect",
        "from duty where due_at <= now()",
        "from duty",
        ("cloud_updater",),
    ),
)


async def noticed(bug: SqlBug, traces: Traces, engines: Engines, *, alike: set[tuple[str, int]]) -> Noticed:
    """Walk the traces with it until an answer differs.

    `alike`: the walks of which it is known that nothing differs without a bug; others are made without it as well, for
    what differs all the same was not noticed because of it.
    """
    applied = 0
    for walked in range(WALKS):
        for number, trace in enumerate(traces):
            if trace.service not in bug.services:
                continue
            place, engine = (trace.service, number + 100 * walked), engines[trace.service]
            with _applied(bug, engine) as changed:
                answer = await _differs(trace, place[1], engine)
            applied += len(changed)
            if answer and place not in alike and not await _differs(trace, place[1], engine):
                alike.add(place)
            if answer and place in alike:
                return Noticed(bug, applied, answer)
    return Noticed(bug, applied, None)


async def _differs(trace: Trace, seed: int, engine: AsyncEngine) -> str | None:
    try:
        return await walk(trace, random.Random(seed), engine)
    except AssertionError as error:
        return str(error)


@contextmanager
def _applied(bug: SqlBug, engine: AsyncEngine) -> Iterator[list[str]]:
    changed: list[str] = []

    def change(_: Any, __: Any, statement: str, parameters: Any, ___: Any, ____: Any) -> tuple[str, Any]:  # noqa: ANN401
        if bug.stands not in statement:
            return statement, parameters
        changed.append(statement)
        return statement.replace(bug.stands, bug.instead), parameters

    event.listen(engine.sync_engine, "before_cursor_execute", change, retval=True)
    try:
        yield changed
    finally:
        event.remove(engine.sync_engine, "before_cursor_execute", change)
