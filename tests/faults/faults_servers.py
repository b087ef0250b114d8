"""Faults of Kafka and PostgreSQL, and of the connections to them. Each returns how often it was seen to happen."""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil

from local.supervisor import Program
from tests.faults.run import Run, until
from tests.faults.site import SERVICES
from tests.faults.watch import AWAY

SERVER_WITHIN_S = 180.0
FULL_S = 4.0
# Beyond every lease and wait here, and less than a run waits for its calm: what is planned while the clock is ahead
# stands still for so long once it has been set back.
JUMP_S = 60
JUMPED_S = 4.0
BLOCK = 1024 * 1024
# Six processes, of which each consumer has two connections to try once a second: about fifty. Without that, a thousand.
TRIES_MOST_PER_S = 200
NO_SPACE = "No space left on device"
# A clock of the database's own: what it is set by stands in a table, and its functions come before PostgreSQL's.
CLOCK = (
    "create schema if not exists clock",
    "create table if not exists clock.wrong (by interval not null)",
    "truncate clock.wrong",
    "insert into clock.wrong values (interval '0')",
    """create or replace function clock.now() returns timestamptz language sql stable
       as 'select pg_catalog.now() + (select by from clock.wrong)'""",
    "grant usage on schema clock to public",
    "grant select on clock.wrong to public",
)


async def kafka_stopped(run: Run) -> int:
    """SIGTERM to Kafka; it comes back."""
    return await _again(run, run.site.kafka, signal.SIGTERM)


async def kafka_killed(run: Run) -> int:
    """SIGKILL to Kafka; it comes back."""
    return await _again(run, run.site.kafka, signal.SIGKILL)


async def postgres_restarted(run: Run) -> int:
    """PostgreSQL goes down at once, with everything that was under way, and recovers."""
    return await _again(run, run.site.postgres, signal.SIGQUIT)


def kafka_out(seconds: float) -> Callable[[Run], Awaitable[int]]:
    """No service reaches Kafka for so long."""

    async def out(run: Run) -> int:
        proxy = run.site.proxy
        before = proxy.seen["turned away"]
        proxy.away = True
        proxy.drop()
        try:
            await asyncio.sleep(seconds)
        finally:
            proxy.away = False
        tried = proxy.seen["turned away"] - before
        if tried > seconds * TRIES_MOST_PER_S:
            run.broken.append(f"Kafka was away, and was tried {tried} times in {seconds:.0f} s")
        return tried

    return out


async def backends_terminated(run: Run) -> int:
    """Every connection of the services to PostgreSQL is cut by the server, in whatever transaction it is."""
    found = 0
    for _ in range(3):
        [row] = await run.site.sql(
            "postgres",
            "select count(pg_terminate_backend(pid)) from pg_stat_activity "
            f"where usename in ({', '.join(repr(one) for one in SERVICES)})",
        )
        found += row[0]
        await asyncio.sleep(run.chance.uniform(0.3, 1.0))
    return found


async def disk_full(run: Run) -> int:
    """PostgreSQL's disk is full for a while: neither tables nor its log can grow."""
    site = run.site
    assert site.disk is not None
    before = site.log_of("postgres").count(NO_SPACE)
    filler = site.disk / "filler"
    until_s = time.monotonic() + SERVER_WITHIN_S
    try:
        while time.monotonic() < until_s and site.log_of("postgres").count(NO_SPACE) == before:
            _fill(filler)
            try:
                # Used up sooner: the segments of its log that PostgreSQL has kept for later.
                await asyncio.wait_for(site.sql("postgres", "select pg_switch_wal()", "select txid_current()"), 5)
            except AWAY:
                await asyncio.sleep(0.2)
        await asyncio.sleep(FULL_S)
    finally:
        filler.unlink(missing_ok=True)
    await until(lambda: _answers(run), "PostgreSQL answers again", within_s=SERVER_WITHIN_S)
    return site.log_of("postgres").count(NO_SPACE) - before


async def answer_lost(run: Run) -> int:
    """A publish is delivered, and the connection breaks before its publisher hears of it."""
    topics = ("TicketLinked", "RecordingTransferred", "CloudTicketUpdated")
    return await _publish(run, run.site.proxy.cut, topics, "delivered, answer lost")


async def acknowledged_and_lost(run: Run) -> int:
    """A publish is acknowledged, and no broker has it."""
    return await _publish(
        run, run.site.proxy.swallow, ("TicketLinked", "RecordingTransferred"), "acknowledged and lost"
    )


async def _publish(run: Run, armed: dict[str, int], topics: tuple[str, ...], what: str) -> int:
    before = run.site.proxy.seen[what]
    for topic in topics:
        armed[topic] += 1

    async def used_up() -> bool:
        return not any(armed[topic] > 0 for topic in topics)

    await until(used_up, f"publishes to {', '.join(topics)}")

    async def seen() -> int:
        return run.site.proxy.seen[what] - before

    return await until(seen, what)


async def clock_jumps(run: Run) -> int:
    """A database's clock is set forward, and a little later back again."""
    [name] = run.chance.sample(SERVICES, 1)
    await run.site.sql(name, *CLOCK, f'alter database {name} set search_path = clock, "$user", public, pg_catalog')
    await _reconnect(run, name)
    found = 0
    for by in (JUMP_S, 0):
        await run.site.sql(name, f"update clock.wrong set by = interval '{by} s'")
        # As the services see it, on new connections: their own functions are found first.
        [row] = await run.site.sql(name, "select extract(epoch from now() - pg_catalog.now())::int as wrong")
        found += row["wrong"] == by
        await asyncio.sleep(JUMPED_S)
    await run.site.sql(name, f"alter database {name} reset search_path")
    await _reconnect(run, name)
    await run.site.sql(name, "drop schema clock cascade")
    return found if found == 2 else 0


async def _reconnect(run: Run, name: str) -> None:
    await run.site.sql("postgres", f"select pg_terminate_backend(pid) from pg_stat_activity where usename = '{name}'")


async def _again(run: Run, program: Program, by: signal.Signals) -> int:
    async def found() -> psutil.Process | None:
        return run.site.server(program)

    before = await until(found, f"{program.name} runs")
    before.send_signal(by)

    async def another() -> bool:
        now = run.site.server(program)
        return now is not None and now != before and await program.ready()

    await until(another, f"{program.name} again", within_s=SERVER_WITHIN_S)
    return 1


async def _answers(run: Run) -> bool:
    return await run.site.postgres.ready()


def _fill(filler: Path) -> None:
    """Write until there is no room for another byte."""
    with filler.open("ab", buffering=0) as file:
        for size in (BLOCK, 4096, 1):
            try:
                while os.write(file.fileno(), b"\0" * size):
                    pass
            except OSError:
                continue
