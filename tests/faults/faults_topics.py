"""Faults of topics: made anew, and with more partitions. Each returns how often it was seen.

A topic that was made anew, and has grown beyond its old end before a service looks, is taken for the old one: that is
not promised. So nobody is asked meanwhile for what would be published on it; everything else may go on.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from schemas.topics import topic_named
from shared.kafka import plain
from shared.topics import apply as apply_topics
from shared.topics import ends
from tests.faults.faults_data import nothing_was_sent
from tests.faults.run import Run, until
from tests.faults.settle import unread
from tests.faults.watch import AWAY

OF_OTHERS = ("RecordingProcessed", "TicketLinkRequested", "TicketSyncRequested")
PARTITIONS = 16
# What ends up on a topic.
ASKED_FOR: Mapping[str, tuple[str, ...]] = {
    "TicketLinked": ("link", "ask", "ask_late", "bring"),
    "RecordingTransferred": ("record",),
}


def made_anew(topic: str) -> Callable[[Run], Awaitable[int]]:
    """A topic is deleted and made anew, at rest; publishers say again what they have said. Nothing is sent for it."""

    async def make_anew(run: Run) -> int:
        async with run.calm():
            effects = len(run.watch.effects)
            await _make_anew(run, topic)
            await run.settle()
            nothing_was_sent(run, effects, f"{topic} was made anew")
        return 1

    return make_anew


def made_anew_at_work(topic: str) -> Callable[[Run], Awaitable[int]]:
    """The same to a topic of the services', while they work on everything that does not end up on it."""

    async def make_anew(run: Run) -> int:
        async with run.load.without(*ASKED_FOR[topic]):

            async def read() -> bool:
                return not any(topic in line for line in await unread(run.site))

            await until(read, f"all have read {topic}")
            await _make_anew(run, topic)
        return 1

    return make_anew


async def _make_anew(run: Run, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=run.site.broker)
    await admin.start()
    try:
        await admin.delete_topics([topic])
    finally:
        await admin.close()
    await until(lambda: _applied(run), f"{topic} made anew")
    run.watch.made_anew(topic)
    await until(lambda: _noticed(run, topic), f"all who read {topic} begin anew")
    for said, key, value in list(run.load.said):
        if said == topic:
            await run.load.publish(said, key, value, note=False)
    for needless in run.load.books.needless.values():
        needless[:] = [one for one in needless if one.topic != topic]  # other records stand at their places


async def _noticed(run: Run, topic: str) -> bool:
    """No row stands beyond the end; nobody asks of those of partitions that it had more than it has now."""
    stop = await ends(plain(run.site.broker), [topic])
    for service in topic_named(topic).consumers:
        rows = await run.site.sql(
            service, f"select partition, next_offset from position where topic = '{topic}' and next_offset > 0"
        )
        if any(row["next_offset"] > stop.get((topic, row["partition"]), row["next_offset"]) for row in rows):
            return False
    return True


async def _applied(run: Run) -> bool:
    try:
        return any(line.endswith("created") for line in await apply_topics(run.site.broker))
    except AWAY:
        return False


def repartitioned(*topics: str) -> Callable[[Run], Awaitable[int]]:
    """More partitions: from now on the same key goes elsewhere, and its older facts stand where they stood."""

    async def repartition(run: Run) -> int:
        before = _spread(run, topics)
        admin = AIOKafkaAdminClient(bootstrap_servers=run.site.broker)
        await admin.start()
        try:
            await admin.create_partitions({topic: NewPartitions(total_count=PARTITIONS) for topic in topics})
        finally:
            await admin.close()

        async def spread() -> int:
            return _spread(run, topics) - before

        return await until(spread, f"keys of {', '.join(topics)} on two partitions")

    return repartition


def _spread(run: Run, topics: Sequence[str]) -> int:
    return sum(len(places) > 1 for (topic, _), places in run.watch.places.items() if topic in topics)
