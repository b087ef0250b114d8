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
    """Java's gzip passes over what follows the compressed data, Python's does not."""
    builder = _builder([record], compression=GZIP)
    assert builder._maybe_compress()
    builder._buffer += b"more"
    builder._write_header(use_compression_type=True)
    return bytes(builder._buffer)


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
