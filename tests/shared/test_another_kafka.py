"""What was announced was so to one Kafka: another is told all of it again, a topic made anew what it had held."""

from collections.abc import AsyncIterator

import pytest

from services.linker.settings import LinkerSettings
from shared.database import Database
from shared.dead_letters import unpublished
from shared.kafka import plain
from shared.service import Service
from tests.shared.things import Things, fold_things, forget_heard

LETTER = """
    insert into dead_letter (topic, partition, "offset", content, key, value, headers, timestamp_ms, reason, error,
        failed_at, published_at, settled_as)
    values ('T', 0, {offset}, '', null, '', '[]', 0, 'malformed_json', '', now(), now(), {settled_as})
"""
BEFORE = (
    "insert into thing (recording_id, version, heard) values ('R1', 3, 3)",
    LETTER.format(offset=1, settled_as="null"),
    LETTER.format(offset=2, settled_as="'redriven'"),
)


@pytest.fixture
async def service(things: Things, kafka_bootstrap_servers: str) -> AsyncIterator[Service]:
    """Everything that it knew was announced."""
    for statement in BEFORE:
        await things.change(statement)
    settings = LinkerSettings.model_validate({"api_token": "t", "linker_database_url": things.url})
    made = Service(
        "linker",
        settings,
        plain(kafka_bootstrap_servers),
        Database(things.url),
        own_topics=(things.topic,),
        forget_heard=forget_heard,
    )
    yield made
    await made.database.close()


async def _to_be_announced(service: Service, things: Things) -> tuple[int, list[int]]:
    """Of the thing what was heard, and the dead letters that no topic has."""
    [row] = await things.rows("select heard from thing")
    async with service.database.transaction() as connection:
        return row["heard"], [one.offset for one in await unpublished(connection, limit=10)]


async def test_to_another_kafka_facts_and_open_dead_letters_are_announced_again(
    service: Service, things: Things
) -> None:
    await things.change("update origin set cluster_id = 'another'")

    await service.tie.hold()
    found = await _to_be_announced(service, things)
    await things.change("update dead_letter set published_at = now()")
    await service.tie.hold()

    assert found == (0, [1])
    assert await _to_be_announced(service, things) == (0, [])


async def test_an_own_topic_that_is_made_anew_has_its_facts_announced_again_and_no_dead_letters(
    service: Service, things: Things
) -> None:
    """Those are on a topic of their own."""
    fold = service.fold(things.topic, fold_things)
    assert fold.forget_heard is not None

    async with service.database.transaction() as connection:
        await fold.forget_heard(connection)

    assert await _to_be_announced(service, things) == (0, [])
