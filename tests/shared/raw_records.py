"""Records as no client of Kafka for Python would send them, published by hand to one partition."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import NotLeaderForPartitionError
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import _DefaultRecordBatchBuilderPy

GZIP = 1
# Kafka does not look at a record's attributes; aiokafka takes this one for the first half of a longer number.
ATTRIBUTES_THAT_AIOKAFKA_MISREADS = 0x80


class NotText(str):
    """A header's name as a producer in another language may send it: Latin-1."""

    __slots__ = ()

    def encode(self, *_: str, **__: str) -> bytes:
        return super().encode("latin-1")


@dataclass(frozen=True)
class Raw:
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes | None]] = ()


def batch_of(records: Sequence[Raw], *, compression: int = 0) -> bytes:
    return bytes(_builder(records, compression).build())


def misread_batch_of(record: Raw) -> bytes:
    builder = _builder([record], compression=0)
    first_record = builder.HEADER_STRUCT.size
    length_bytes = 1 if builder._buffer[first_record] < 0x80 else 2
    builder._buffer[first_record + length_bytes] = ATTRIBUTES_THAT_AIOKAFKA_MISREADS
    return bytes(builder.build())


async def publish_batch(servers: str, partition: TopicPartition, batch: bytes) -> None:
    client = AIOKafkaClient(bootstrap_servers=servers)
    await client.bootstrap()
    try:
        node = next(iter(client.cluster.brokers())).nodeId
        request = ProduceRequest(
            transactional_id=None,
            required_acks=-1,
            timeout=5_000,
            topics=[(partition.topic, [(partition.partition, batch)])],
        )
        code = NotLeaderForPartitionError.errno
        async with asyncio.timeout(30):
            while code == NotLeaderForPartitionError.errno:  # as of a topic that was made a moment ago
                answer = await client.send(node, request)
                [(_, [(_, code, *_)])] = answer.topics
        assert code == 0, answer
    finally:
        await client.close()


def _builder(records: Sequence[Raw], compression: int) -> _DefaultRecordBatchBuilderPy:
    builder = _DefaultRecordBatchBuilderPy(
        magic=2,
        compression_type=compression,
        is_transactional=0,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1_000_000,
    )
    for place, record in enumerate(records):
        builder.append(place, timestamp=1, key=record.key, value=record.value, headers=list(record.headers))
    return builder
