"""Deliberate bugs in SQL: each takes one rule out of the stores' statements, on their way to PostgreSQL.

The simulation cannot see them, for it runs over models; the contract between models and SQL must. A bug is a piece of a
statement and what stands there instead, for one service or for all.
"""

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.simulation.contract import empty, play
from tests.simulation.processes import SERVICES
from tests.simulation.recording import Trace
from tests.simulation.walk import walk

# A lost lease, say, is asked about by few of the calls: each run is walked through so often, until an answer differs.
WALKS = 8


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
)


async def noticed(bug: SqlBug, traces: Sequence[Trace], engines: dict[str, AsyncEngine]) -> Noticed:
    """Walk the traces with it until an answer differs."""
    applied = 0
    for place, trace in enumerate(traces):
        if trace.service not in bug.services:
            continue
        engine = engines[trace.service]
        for walked in range(WALKS):
            seed = place + 100 * walked
            with _applied(bug, engine) as changed:
                answer = await _differs(trace, random.Random(seed), engine)
            applied += len(changed)
            # What differs without the bug as well was not noticed because of it.
            if answer and not await _differs(trace, random.Random(seed), engine):
                return Noticed(bug, applied, answer)
    return Noticed(bug, applied, None)


async def _differs(trace: Trace, chance: random.Random, engine: AsyncEngine) -> str | None:
    await empty(engine)
    try:
        return await play(trace, engine) or await walk(trace, chance, engine)
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
