"""The models of the stores answer as their SQL does on PostgreSQL, and SQL that has lost a rule does not."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from services.cloud_updater.claims import Claimed, Claims
from shared import migrations
from tests.servers import CreateDatabase
from tests.simulation.contract import CLOCK, SEARCH_PATH, empty, play
from tests.simulation.processes import SERVICES
from tests.simulation.recording import Call, Trace, recorded
from tests.simulation.situations import differs
from tests.simulation.sql_bugs import RULES, noticed
from tests.simulation.walk import walk

SEEDS = range(3, 6)
Engines = dict[str, AsyncEngine]


@pytest.fixture(scope="module")
def traces() -> list[Trace]:
    return [trace for seed in SEEDS for trace in recorded(seed)]


@pytest.fixture
async def engines(create_database: CreateDatabase) -> AsyncIterator[Engines]:
    made = {}
    for service in SERVICES:
        url = await create_database()
        await asyncio.to_thread(migrations.upgrade, service, url)
        made[service] = create_async_engine(
            url, connect_args={"server_settings": {"search_path": SEARCH_PATH, "timezone": "UTC"}}
        )
        async with made[service].begin() as connection:
            for statement in CLOCK:
                await connection.execute(text(statement))
    yield made
    for engine in made.values():
        await engine.dispose()


async def test_models_and_sql_answer_a_run_alike(engines: Engines, traces: list[Trace]) -> None:
    for trace in traces:
        await empty(engines[trace.service])
        assert await play(trace, engines[trace.service]) is None

    assert sum(trace.calls for trace in traces) > 500 * len(SEEDS)
    assert len([one for one in _claimed(traces) if len(one.files) > 1]) > 1


def _claimed(traces: Sequence[Trace]) -> Iterator[Claimed]:
    """What was to be pushed in these runs."""
    for trace in traces:
        for step in (step for one in trace.transactions for step in one.steps):
            if isinstance(step, Call) and step.owner is Claims and step.name == "claim":
                yield from step.answer


async def test_models_and_sql_answer_alike_in_an_order_that_no_service_asks_in(
    engines: Engines, traces: list[Trace]
) -> None:
    for place, trace in enumerate(traces):
        assert await walk(trace, random.Random(place), engines[trace.service]) is None


async def test_models_and_sql_answer_alike_where_one_rule_decides(engines: Engines) -> None:
    for situation, service in {(rule.situation, rule.service) for rule in RULES}:
        assert await differs(situation, service, engines[service]) is None, situation.__name__


async def test_rules_that_are_taken_out_of_the_sql_are_noticed(engines: Engines) -> None:
    found = {rule.name: await noticed(rule, engines[rule.service]) for rule in RULES}
    print(*(f"{name}: {(answer or 'NOT CAUGHT')[:120]}" for name, answer in found.items()), sep="\n")

    assert [name for name, answer in found.items() if not answer] == []
    assert len(found) == len(RULES)
