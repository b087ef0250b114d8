"""Holds the models to the stores' SQL: what a run of the simulation asked of a model is asked of PostgreSQL again.

In: a trace (recording.py) and an empty database of that service. Out: the first call whose answer differs, or None. So
whatever the simulation proves of the models holds for the SQL, and SQL that has lost a rule is found by the first call
that shows it. The database's clock is the simulation's: its now() is found before PostgreSQL's own.
"""

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.cloud_updater import announce_updates, pushes
from services.cloud_updater.claims import Claims
from services.linker import announce_links
from services.transfer import announce_transfers, uploads
from services.transfer.uploads import Uploads
from shared.announce_once import Lot
from tests.simulation import linker_store, transfer_store, updater_store
from tests.simulation.recording import Call, Trace, Transaction

SAME_MOMENT = timedelta(milliseconds=1)
SAME_S = 1e-3
FREE_LEASES = {"linker": (), "transfer": (uploads.FREE_LEASES,), "cloud_updater": (pushes.FREE_LEASES,)}
CLOCK = (
    "create schema simulated",
    """create function simulated.now() returns timestamptz language sql stable
       as $$ select current_setting('simulated.now')::timestamptz $$""",
)
SEARCH_PATH = "simulated,public,pg_catalog"
_ANNOUNCERS: Mapping[tuple[object, str], Callable[..., Awaitable[Any]]] = {
    (linker_store, "unheard"): announce_links.unheard,
    (linker_store, "facts"): announce_links.facts,
    (linker_store, "forget_heard"): announce_links.forget_heard,
    (transfer_store, "unheard"): announce_transfers.unheard,
    (transfer_store, "facts"): announce_transfers.facts,
    (transfer_store, "forget_heard"): announce_transfers.forget_heard,
    (updater_store, "next_lot"): announce_updates.next_lot,
    (updater_store, "mark"): announce_updates._mark,
    (updater_store, "forget_announced"): announce_updates.forget_announced,
}
# Of rows that are due at the same moment PostgreSQL may take any: the one that the model took is made the first.
_FIRST_OF_EQUALS = """
    with due as (select {key} as id, {due} as at from {rows}),
         late as (select at - (select min(at) from due) + interval '1 microsecond' as by from due where id = :taken)
    update {table} set {columns} from late where {key} = :taken and late.by < interval '1 millisecond'
"""
_CLAIMS = {
    Claims: _FIRST_OF_EQUALS.format(
        key="clouds_uuid",
        due="due_at",
        table="ledger",
        rows="ledger l where due_at <= now() and (lease_until is null or lease_until < now()) and not missing "
        "and not exists (select from claim c where c.clouds_uuid = l.clouds_uuid)",
        columns="due_at = due_at - late.by",
    ),
    Uploads: _FIRST_OF_EQUALS.format(
        key="folder_id",
        due="greatest(due_at, retry_at, lease_until)",
        table="folder",
        rows="folder where due_at is not null and held is null",
        columns="due_at = due_at - late.by, retry_at = retry_at - late.by, lease_until = lease_until - late.by",
    ),
}


async def empty(engine: AsyncEngine) -> None:
    """A database as it is after its migrations, for the next trace."""
    async with engine.begin() as connection:
        found = await connection.execute(text("select tablename from pg_tables where schemaname = 'public'"))
        tables = set(found.scalars())
        emptied = ", ".join(f'"{one}"' for one in sorted(tables - {"alembic_version", "origin", "lane"}))
        await connection.execute(text(f"truncate {emptied} restart identity cascade"))
        if "lane" in tables:
            await connection.execute(
                text("""
                    update lane set reason = 'not_reached', message = null, probe_at = null, failures = 0,
                                    next_request_at = null, not_before = null, capabilities = null,
                                    pinged_at = null, allowance = null,
                                    paused_at = null, paused_by = null, paused_why = null
                """)
            )


async def begin_trace(engine: AsyncEngine, trace: Trace) -> None:
    """An empty database, as old as the model was."""
    await empty(engine)
    async with engine.begin() as connection:
        await connection.execute(text("update origin set created_at = :at"), {"at": trace.made_at})


async def play(trace: Trace, engine: AsyncEngine) -> str | None:
    """Ask everything again, on connections whose search path is SEARCH_PATH. What differs first, in words."""
    await begin_trace(engine, trace)
    for number, transaction in enumerate(trace.transactions):
        async with engine.connect() as connection:
            found = await _play_one(connection, transaction, trace.service)
            if found:
                return f"{trace.service}, transaction {number}: {found}"
            await (connection.commit() if transaction.committed else connection.rollback())
    return None


async def set_clock(connection: AsyncConnection, now: datetime) -> None:
    """What now() says until the transaction is over."""
    await connection.execute(text("select set_config('simulated.now', :now, true)"), {"now": now.isoformat()})


async def _play_one(connection: AsyncConnection, transaction: Transaction, service: str) -> str | None:
    await set_clock(connection, transaction.now)
    saved: list[Any] = []
    for step in transaction.steps:
        match step:
            case "savepoint":
                saved.append(await connection.begin_nested())
            case "released":
                await saved.pop().commit()
            case "undone":
                await saved.pop().rollback()
            case "leases freed":
                for statement in ("delete from lease", *FREE_LEASES[service]):
                    await connection.execute(text(statement))
            case Call():
                if found := await _ask(connection, step):
                    return found
    return None


async def _ask(connection: AsyncConnection, call: Call) -> str | None:
    asked = f"{getattr(call.owner, '__name__', call.owner)}.{call.name}"
    await take_first(connection, call)
    answer, failed = None, None
    async with AsyncExitStack() as undone:
        if call.failed:
            undone.push_async_callback((await connection.begin_nested()).rollback)
        try:
            answer = await ask(connection, call)
        except Exception as error:
            failed = type(error).__name__
            if failed != call.failed:
                raise AssertionError(f"{asked}{call.args}: {error!r}") from error
    if failed != call.failed or not same(answer, call.answer):
        given = f"{asked}{call.args}{dict(call.named)}"
        return f"{given} is {answer} {failed or ''}, of the model {call.answer} {call.failed or ''}"
    return None


async def ask(connection: AsyncConnection, call: Call) -> Any:  # noqa: ANN401  # whatever it answers
    """Make this call of the product."""
    if (call.owner, call.name) in _ANNOUNCERS:
        return await _ANNOUNCERS[call.owner, call.name](connection, *call.args[1:], **call.named)
    if isinstance(call.owner, type):
        return await getattr(call.owner(connection), call.name)(*call.args, **call.named)
    return await getattr(call.owner, call.name)(connection, *call.args[1:], **call.named)


async def take_first(connection: AsyncConnection, call: Call) -> None:
    """Before a claim: see _FIRST_OF_EQUALS."""
    if call.name != "claim" or call.owner not in _CLAIMS or not call.answer:
        return
    taken = call.answer[0].folder_id if call.owner is Uploads else call.answer[0].clouds_uuid
    await connection.execute(text(_CLAIMS[call.owner]), {"taken": taken})


def same(found: Any, expected: Any) -> bool:  # noqa: ANN401  # whatever stores answer
    """Whether two answers say the same. Names alone have no order; times and seconds may be off by a rounding."""
    match expected:
        case datetime():
            return isinstance(found, datetime) and abs(found - expected) < SAME_MOMENT
        case float():
            return isinstance(found, float | int) and abs(found - expected) < SAME_S
        case Lot():
            return isinstance(found, Lot) and same(found.records, expected.records)
        case dict():
            return (
                isinstance(found, Mapping)
                and found.keys() == expected.keys()
                and all(same(found[key], value) for key, value in expected.items())
            )
        case set() | frozenset():
            return set(found) == set(expected)
        case list() | tuple() if expected and all(isinstance(one, str) for one in expected):
            return sorted(found) == sorted(expected)
        case list() | tuple():
            return len(found) == len(expected) and all(map(same, found, expected))
        case _ if is_dataclass(expected):
            return all(same(getattr(found, one.name), getattr(expected, one.name)) for one in fields(expected))
        case _:
            return bool(found == expected)
