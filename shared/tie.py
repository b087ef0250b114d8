"""Ties a database to the Kafka that its positions are of: to another they mean nothing.

A Kafka that was lost, and made anew under the same address, has another cluster id. All of its topics are read from the
start then, and what was announced to the one before is announced to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from aiokafka import TopicPartition
from aiokafka.errors import UnknownTopicOrPartitionError

from shared import dead_letters, positions
from shared.database import Database
from shared.kafka import KafkaSettings
from shared.standing import ForgetHeard
from shared.topics import cluster, ends

log = structlog.get_logger()


@dataclass(frozen=True)
class Tie:
    """`forget_heard`: see Service."""

    database: Database
    kafka: KafkaSettings
    forget_heard: ForgetHeard

    async def hold(self) -> None:
        """Before positions are used. Raises KafkaError or OSError if Kafka cannot be reached."""
        found = (await cluster(self.kafka)).cluster_id
        async with self.database.transaction() as connection:
            if await positions.belong_to(connection, found):
                await self.forget_heard(connection)
                await dead_letters.forget_published(connection)
                log.warning("another Kafka than before: all topics are read from the start", cluster_id=found)

    async def ends(self, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """What a gate waits for. A database that was made anew under the running process is tied here."""
        await self.hold()
        found = await ends(self.kafka, topics)
        if {topic for topic, _ in found} != set(topics):
            raise UnknownTopicOrPartitionError  # nothing is known of what was done as long as Kafka does not show it
        return {TopicPartition(*partition): end for partition, end in found.items()}
