"""Asks models and SQL the same in an order that no service would: calls are left out, and earlier ones made again.

What a run records is polite: whoever asks has looked first, so an older fact or a lost lease seldom gets as far as the
statement that must refuse it. Here they do. Each call is made of the model and then of PostgreSQL; one that either
cannot carry out (a row that is not there, a constraint) is undone in both, for nothing is promised of it.
"""

import random
from collections import deque
from collections.abc import Iterator
from typing import Any

from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from tests.simulation import database
from tests.simulation.clock import BEGINNING
from tests.simulation.contract import ask, begin_trace, set_clock, take_first
from tests.simulation.contract import same as alike
from tests.simulation.database import Tables
from tests.simulation.recording import Call, Trace
from tests.simulation.seams import modelled
from tests.simulation.stage import TABLES

LEFT_OUT, AGAIN, REMEMBERED = 0.08, 0.5, 60
# Said by a model of what it was not made for; of SQL it is a constraint that says so.
UNFIT = (KeyError, AssertionError, AttributeError)
OFTEN = {"read", "begin", "look", "unpublished", "next_open"}


async def walk(trace: Trace, chance: random.Random, engine: AsyncEngine) -> str | None:
    """From an empty database. What differs first, in words; None if nothing does."""
    tables = TABLES[trace.service](trace.made_at)
    await begin_trace(engine, trace)
    for now, call in _steps(trace, chance):
        async with engine.begin() as connection:
            await set_clock(connection, now)
            found = await _both(connection, tables, call, database.Connection(tables, now))
        if found:
            return f"{trace.service}, {now - BEGINNING} after the beginning: {found}"
    return None


def _steps(trace: Trace, chance: random.Random) -> Iterator[tuple[Any, Call]]:
    earlier: deque[Call] = deque(maxlen=REMEMBERED)
    for transaction in trace.transactions:
        for call in transaction.steps:
            if not isinstance(call, Call) or call.name in OFTEN or chance.random() < LEFT_OUT:
                continue
            yield transaction.now, call
            earlier.append(call)
            if chance.random() < AGAIN:
                yield transaction.now, chance.choice(earlier)


async def _both(connection: AsyncConnection, tables: Tables, call: Call, model: database.Connection) -> str | None:
    before = tables.copy()
    try:
        with modelled():
            answer, failed = await _of_the_model(call, model), ""
    except UNFIT:
        tables.put_back(before)
        return None
    except Exception as error:  # noqa: BLE001  # the same is expected of SQL
        tables.put_back(before)
        answer, failed = None, type(error).__name__
    expected = Call(call.owner, call.name, call.args, call.named, answer, failed)
    savepoint = await connection.begin_nested()
    await take_first(connection, expected)
    try:
        found, found_failed = await ask(connection, call), ""
    except IntegrityError:
        tables.put_back(before)
        await savepoint.rollback()
        return None
    except Exception as error:  # noqa: BLE001  # compared below
        found, found_failed = None, type(error).__name__
    await (savepoint.rollback() if found_failed else savepoint.commit())
    if found_failed == failed and alike(found, answer):
        return None
    asked = f"{getattr(call.owner, '__name__', call.owner)}.{call.name}{call.args}{dict(call.named)}"
    return f"{asked} is {found_failed or found}, of the model {failed or answer}"


async def _of_the_model(call: Call, connection: Any) -> Any:  # noqa: ANN401  # whatever it answers
    if isinstance(call.owner, type):
        return await getattr(call.owner(connection), call.name)(*call.args, **call.named)
    return await getattr(call.owner, call.name)(connection, *call.args[1:], **call.named)
