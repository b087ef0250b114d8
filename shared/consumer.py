"""aiokafka's consumer as the fold needs it under FastStream, and records as FastStream's parser bears them.

aiokafka 0.14 empties the buffers of several partitions in one poll; if one of them raises in the middle, the records
already taken from the others are dropped although the consumer stands behind them. Whoever polls again would skip them
in silence. Such a poll is counted here, and the fold then starts again from its rows.
"""

from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRecord
from faststream.kafka import KafkaBroker


class CountingConsumer(AIOKafkaConsumer):  # type: ignore[misc]  # aiokafka ships no types
    """`failed_polls`: how often a poll has raised, so that records may be missing between two batches."""

    failed_polls = 0

    async def getmany(self, *partitions: Any, timeout_ms: int = 0, max_records: int | None = None) -> Any:  # noqa: ANN401
        """As aiokafka's."""
        try:
            return await super().getmany(*partitions, timeout_ms=timeout_ms, max_records=max_records)
        except Exception:
            self.failed_polls += 1
            raise


async def start(broker: KafkaBroker) -> None:
    """Connect and start every subscriber, each with a consumer of this kind.

    Raises KafkaError or OSError if Kafka cannot be reached; nothing runs then, and it may be tried again.
    """
    try:
        await broker.connect()
        config = broker.config.broker_config
        config.builder = partial(CountingConsumer, **config.builder.keywords)  # type: ignore[attr-defined]  # a partial
        await broker.start()
    except BaseException:
        # FastStream leaves running what it had started; a second start would read twice.
        await broker.stop()
        raise


async def without_headers(message: Any, original: Any) -> Any:  # noqa: ANN401
    """FastStream decodes every header as UTF-8 before the handler sees the batch, and one that is not drops the batch.

    It gets records without headers; ours are read from the raw records, one by one.
    """
    parsed = await original(tuple(_Bare(record) for record in message))
    parsed.raw_message = message
    return parsed


async def undecoded(message: Any) -> Any:  # noqa: ANN401
    """The handler parses record by record; FastStream must not."""
    return message.raw_message


class _Bare:
    """A record as FastStream's parser needs it."""

    __slots__ = ("headers", "offset", "timestamp", "topic", "value")

    def __init__(self, record: ConsumerRecord) -> None:
        self.headers: tuple[tuple[str, bytes], ...] = ()
        self.offset = record.offset
        self.timestamp = record.timestamp
        self.topic = record.topic
        self.value = b""
