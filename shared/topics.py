"""Makes Kafka's topics what schemas/topics.py declares, and says where they differ.

In: a way to reach Kafka. Out: topics created or corrected, findings in words, or the topics' ends. Applying twice is
harmless. Two things are never done here, because they move recordings to other partitions or lose them: the number of
partitions of a topic that has too few is reported, not changed, and no topic is deleted.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from schemas.topics import TOPICS, Topic
from shared.kafka import KafkaSettings, asking_options, client_options, plain, started

TIME_LIMIT_S = 60.0
REQUEST_TIMEOUT_MS = 20_000
BEAT_S = 0.1

# Kafka's word for "set on this topic", as opposed to a default of the broker or of Kafka.
SET_ON_TOPIC = 1


class TopicsError(Exception):
    """Kafka refused to create or change a topic; the message says which and why."""


@dataclass(frozen=True)
class Existing:
    """A topic as Kafka has it."""

    partitions: int
    leaders: int
    config: Mapping[str, str]
    set_on_topic: Mapping[str, str]


async def apply(kafka: KafkaSettings | str, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """Create the topics that are missing, correct the settings of the others, and wait until clients can use them.

    A plain string is the address of a listener without encryption or password. Returns what was done, a line each.
    Raises TopicsError if Kafka refuses, KafkaError if it cannot be reached, TimeoutError after 60 s.
    """
    settings = _settings(kafka)
    async with asyncio.timeout(TIME_LIMIT_S), _admin(settings) as admin:
        existing = await _existing(admin, topics)
        missing = [topic for topic in topics if topic.name not in existing]
        different = [topic for topic in topics if topic.name in existing and _differing(topic, existing[topic.name])]
        done = [
            *await _create(admin, missing, settings.kafka_replication_factor),
            *await _correct(admin, different, existing),
        ]
        await _wait_until_so(admin, topics)
        return done


async def check(kafka: KafkaSettings | str, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """Where Kafka's topics differ from the declared ones, a line each; nothing is changed. Raises as `apply` does."""
    async with asyncio.timeout(TIME_LIMIT_S), _admin(_settings(kafka)) as admin:
        existing = await _existing(admin, topics)
        findings = []
        for topic in topics:
            if topic.name in existing:
                findings += _findings(topic, existing[topic.name])
            else:
                findings.append(f"{topic.name}: does not exist")
        return findings


async def ends(kafka: KafkaSettings | str, topics: Iterable[str]) -> dict[tuple[str, int], int]:
    """The offset after the last record of every partition: (topic, partition) → offset. Raises as `apply` does.

    A topic that does not exist has no partitions.
    """
    return {place: offsets.stop for place, offsets in (await extents(kafka, topics)).items()}


async def extents(kafka: KafkaSettings | str, topics: Iterable[str]) -> dict[tuple[str, int], range]:
    """The offsets at which records can still stand: (topic, partition) → range, empty where all have expired.

    Somebody who waits for a reader needs both ends: a reader never gets to the end of what has expired before it came.
    """
    async with asyncio.timeout(TIME_LIMIT_S):
        places = await partitions(kafka, topics)
        if not places:
            return {}
        async with _consumer(_settings(kafka)) as consumer:
            found = await extents_by(consumer, places)
    return {(place.topic, place.partition): offsets for place, offsets in found.items()}


async def partitions(kafka: KafkaSettings | str, topics: Iterable[str]) -> list[TopicPartition]:
    """Those of the topics that there are. Raises as `apply` does."""
    wanted = set(topics)
    async with asyncio.timeout(TIME_LIMIT_S), _admin(_settings(kafka)) as admin:
        return [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in await admin.describe_topics()
            if topic["topic"] in wanted
            for partition in topic["partitions"]
        ]


async def extents_by(consumer: AIOKafkaConsumer, places: Sequence[TopicPartition]) -> dict[TopicPartition, range]:
    """The same as `extents`, asked by a consumer that asks for more: each new one learns of every topic anew."""
    starts: dict[TopicPartition, int] = await consumer.beginning_offsets(places)
    stops: dict[TopicPartition, int] = await consumer.end_offsets(places)
    return {place: range(starts[place], stops[place]) for place in places}


async def since(kafka: KafkaSettings | str, topic: str, moment: datetime) -> dict[int, int]:
    """Where the records begin that are not older than `moment` (aware): partition → offset, the end if all are older.

    Raises as `apply` does.
    """
    places = [TopicPartition(*place) for place in await extents(kafka, [topic])]
    async with asyncio.timeout(TIME_LIMIT_S), _consumer(_settings(kafka)) as consumer:
        found = await consumer.offsets_for_times(dict.fromkeys(places, int(moment.timestamp() * 1000)))
        stops = await consumer.end_offsets(places)
    return {place.partition: found[place].offset if found.get(place) else stops[place] for place in places}


@dataclass(frozen=True)
class Cluster:
    """Which Kafka it is, and how many brokers it has now."""

    cluster_id: str
    brokers: int


async def cluster(kafka: KafkaSettings | str) -> Cluster:
    """Topics and offsets of another cluster mean other things. Raises as `apply` does."""
    async with asyncio.timeout(TIME_LIMIT_S), _admin(_settings(kafka)) as admin:
        found = await admin.describe_cluster()
        return Cluster(str(found["cluster_id"]), len(found["brokers"]))


def _settings(kafka: KafkaSettings | str) -> KafkaSettings:
    return plain(kafka) if isinstance(kafka, str) else kafka


def _admin(settings: KafkaSettings) -> AbstractAsyncContextManager[AIOKafkaAdminClient]:
    return started(AIOKafkaAdminClient(**client_options(settings), request_timeout_ms=REQUEST_TIMEOUT_MS))


def _consumer(settings: KafkaSettings) -> AbstractAsyncContextManager[AIOKafkaConsumer]:
    return started(AIOKafkaConsumer(**asking_options(settings), request_timeout_ms=REQUEST_TIMEOUT_MS))


async def _existing(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> dict[str, Existing]:
    wanted = {topic.name for topic in topics}
    # All topics are asked for: naming a missing one would create it where the broker creates topics by itself.
    described = {topic["topic"]: topic for topic in await admin.describe_topics() if topic["topic"] in wanted}
    if not described:
        return {}
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in described]
    found = {}
    for answer in await admin.describe_configs(resources):
        for code, error, _kind, name, entries in answer.resources:
            if code:
                raise TopicsError(f"{name}: its settings cannot be read: {error or for_code(code).__name__}")
            partitions = described[name]["partitions"]
            found[name] = Existing(
                partitions=len(partitions),
                leaders=sum(partition["leader"] >= 0 for partition in partitions),
                config={entry[0]: entry[1] for entry in entries},
                set_on_topic={entry[0]: entry[1] for entry in entries if entry[3] == SET_ON_TOPIC},
            )
    return found


def _differing(topic: Topic, existing: Existing) -> dict[str, tuple[str | None, str]]:
    """Settings that are not as declared: name → (present value, declared value)."""
    return {
        name: (existing.config.get(name), value)
        for name, value in topic.config().items()
        if existing.config.get(name) != value
    }


def _findings(topic: Topic, existing: Existing) -> list[str]:
    findings = [
        f"{topic.name}: {name} is {present}, declared {declared}"
        for name, (present, declared) in _differing(topic, existing).items()
    ]
    if existing.partitions < topic.partitions:  # more were added by somebody who wants more copies of a service
        findings.append(f"{topic.name}: has {existing.partitions} partitions, declared {topic.partitions}")
    if existing.leaders < existing.partitions:
        findings.append(f"{topic.name}: {existing.partitions - existing.leaders} partitions have no leader")
    return findings


async def _create(admin: AIOKafkaAdminClient, topics: Sequence[Topic], copies: int | None) -> list[str]:
    if not topics:
        return []
    # aiokafka takes -1, the broker's own default, only together with a (here empty) replica assignment.
    answer = await admin.create_topics(
        [
            NewTopic(topic.name, topic.partitions, copies, topic_configs=topic.config())
            if copies
            else NewTopic(topic.name, topic.partitions, -1, replica_assignments={}, topic_configs=topic.config())
            for topic in topics
        ]
    )
    done = []
    for name, code, *message in answer.topic_errors:
        error = for_code(code)
        if not code:
            done.append(f"{name}: created")
        elif error is not TopicAlreadyExistsError:  # somebody else applied at the same moment
            raise TopicsError(f"{name}: cannot be created: {message[0] if message else error.__name__}")
    return done


async def _correct(admin: AIOKafkaAdminClient, topics: Sequence[Topic], existing: Mapping[str, Existing]) -> list[str]:
    if not topics:
        return []
    # The request replaces everything that is set on a topic, so what others have set there is sent along.
    resources = [
        ConfigResource(ConfigResourceType.TOPIC, topic.name, {**existing[topic.name].set_on_topic, **topic.config()})
        for topic in topics
    ]
    for answer in await admin.alter_configs(resources):
        for code, error, _kind, name in answer.resources:
            if code:
                raise TopicsError(f"{name}: its settings cannot be changed: {error or for_code(code).__name__}")
    return [
        f"{topic.name}: {name} was {present}, is {declared}"
        for topic in topics
        for name, (present, declared) in _differing(topic, existing[topic.name]).items()
    ]


async def _wait_until_so(admin: AIOKafkaAdminClient, topics: Sequence[Topic]) -> None:
    """Brokers learn of a change a moment after it was accepted; clients that come before that see errors."""
    while True:
        try:
            existing = await _existing(admin, topics)
        except TopicsError:
            existing = {}
        except KafkaError as error:
            if not error.retriable:
                raise
            existing = {}
        if len(existing) == len(topics) and all(_is_so(topic, existing[topic.name]) for topic in topics):
            return
        await asyncio.sleep(BEAT_S)


def _is_so(topic: Topic, existing: Existing) -> bool:
    return existing.leaders == existing.partitions and not _differing(topic, existing)
