"""aiokafka's consumer as the fold needs it under FastStream, and records as FastStream's parser bears them.

aiokafka 0.14 empties the buffers of several partitions in one poll. If one of them raises in the middle, such as at a
batch that is damaged, the records already taken from the others are dropped although the consumer stands behind them:
whoever polls on skips them in silence. Such a poll is counted, so that the fold starts again from its rows, and for a
while each partition is polled by itself, so that only the one to blame waits.

It also empties one partition's buffer before it begins the next. What belongs together, such as the links of a folder,
is spread over all partitions; so each poll takes an equal share of every partition.
"""

import asyncio
import time
from functools import partial
from typing import Any

import structlog
from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from faststream import AckPolicy
from faststream.kafka import KafkaBroker

from shared import fetched
from shared.own_records import OwnRecords
from shared.reconnect import reconnect_patiently
from shared.record import Record

log = structlog.get_logger()

POLL_MS = 10  # FastStream sleeps as long after an empty poll, whatever arrives meanwhile
# Of each partition, so that all of a topic's fit into one answer (50 MB) and are read side by side; no more, because
# several topics are read ahead at once. A larger record comes all the same, by itself.
FETCH_BYTES = 1_000_000
SESSION_MS = 10_000
HEARTBEAT_MS = 2_000
# An empty poll costs as much as one with records, and a service polls several topics.
WAIT_MS = 1_000
CAREFUL_S = 60.0
CAREFUL_PAUSE_S = 0.1
SAY_AGAIN_S = 30.0

ByPartition = dict[TopicPartition, list[Record]]


class CarefulConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """`failed_polls`: how often a poll has raised, so that records may be missing between two batches.

    `own_records`: what this process has published to the topic; a batch of those comes as one record.
    """

    own_records: OwnRecords | None = None
    failed_polls = 0
    _careful_until = 0.0
    _said_at = 0.0

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> ByPartition:
        """As aiokafka's, but waits a second for records: FastStream sleeps `timeout_ms` more after an empty poll."""
        fetched.own_records.set(self.own_records)
        if time.monotonic() < self._careful_until:
            return await self._one_by_one(max_records)
        share = max(1, max_records // max(1, len(self.assignment()))) if max_records else None
        try:
            polled = await self._of_each(share)
            if not polled:
                wait_ms = max(timeout_ms, WAIT_MS)
                polled = await super().getmany(*partitions, timeout_ms=wait_ms, max_records=share)
        except Exception:
            self.failed_polls += 1
            self._careful_until = time.monotonic() + CAREFUL_S
            raise
        return polled

    async def _of_each(self, share: int | None) -> ByPartition:
        polled: ByPartition = {}
        for partition in self.assignment():
            polled |= await super().getmany(partition, max_records=share)
        return polled

    async def _one_by_one(self, max_records: int | None) -> ByPartition:
        polled: ByPartition = {}
        for partition in self.assignment():
            try:
                polled |= await super().getmany(partition, max_records=max_records)
            except Exception as error:  # noqa: BLE001  # whatever is wrong there, it is not the other partitions' fault
                await self._say(partition, error)
        if not polled:
            await asyncio.sleep(CAREFUL_PAUSE_S)
        return polled

    async def _say(self, partition: TopicPartition, error: Exception) -> None:
        if time.monotonic() - self._said_at < SAY_AGAIN_S:
            return
        self._said_at = time.monotonic()
        place = {"topic": partition.topic, "partition": partition.partition, "offset": await self.position(partition)}
        log.error("records cannot be read from here on, the partition waits", error=type(error).__name__, **place)


async def start(broker: KafkaBroker) -> None:
    """Connect and start every subscriber, each with a consumer of this kind.

    Raises KafkaError or OSError if Kafka cannot be reached; nothing runs then, and it may be tried again.
    """
    fetched.read_batches_our_way()
    reconnect_patiently()
    try:
        await broker.connect()
        config = broker.config.broker_config
        config.builder = partial(CarefulConsumer, **config.builder.keywords)  # type: ignore[attr-defined]  # a partial
        await broker.start()
    except BaseException:
        # FastStream leaves running what it had started; a second start would read twice.
        await broker.stop()
        raise


def subscriber(
    broker: KafkaBroker, topic: str, group: str, *, listener: ConsumerRebalanceListener, batch_records: int
) -> Any:  # noqa: ANN401  # FastStream has no public type for it
    """Of one topic, in batches. Every option that could lose a record is named; none is left to a default."""
    return broker.subscriber(
        topic,
        batch=True,
        group_id=group,
        ack_policy=AckPolicy.MANUAL,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        batch_timeout_ms=POLL_MS,
        max_records=batch_records,
        max_partition_fetch_bytes=FETCH_BYTES,
        session_timeout_ms=SESSION_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        listener=listener,
        parser=_without_headers,
        decoder=_undecoded,
        no_reply=True,
    )


async def _without_headers(message: Any, original: Any) -> Any:  # noqa: ANN401
    """FastStream decodes every header as UTF-8 before the handler sees the batch, and one that is not drops the batch.

    It gets the first and the last without headers, for its own names; ours are read from the raw records, one by one.
    """
    parsed = await original((_Bare(message[0]), _Bare(message[-1])))
    parsed.raw_message = message
    return parsed


async def _undecoded(message: Any) -> Any:  # noqa: ANN401
    """The handler parses record by record; FastStream must not."""
    return message.raw_message


class _Bare:
    """A record as FastStream's parser needs it."""

    __slots__ = ("headers", "offset", "timestamp", "topic", "value")

    def __init__(self, record: Record) -> None:
        self.headers: tuple[tuple[str, bytes], ...] = ()
        self.offset = record.offset
        self.timestamp = record.timestamp
        self.topic = record.topic
        self.value = b""
