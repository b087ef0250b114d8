"""How much room Kafka's topics take on the brokers' disks: the request DescribeLogDirs, which aiokafka does not have.

Source: https://kafka.apache.org/protocol, DescribeLogDirs, version 1. All copies are counted: that fills the disks.
"""

import asyncio
from collections import Counter
from collections.abc import Collection, Mapping

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Boolean, Int16, Int32, Int64, Schema, String

from shared.kafka import KafkaSettings, client_options, started

TIME_LIMIT_S = 20.0


class _Answer(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 35
    API_VERSION = 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "results",
            Array(
                ("error_code", Int16),
                ("log_dir", String("utf-8")),
                (
                    "topics",
                    Array(
                        ("name", String("utf-8")),
                        (
                            "partitions",
                            Array(("partition", Int32), ("size", Int64), ("offset_lag", Int64), ("is_future", Boolean)),
                        ),
                    ),
                ),
            ),
        ),
    )


class _Question(RequestStruct):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 35
    API_VERSION = 1
    RESPONSE_TYPE = _Answer
    SCHEMA = Schema(("topics", Array(("topic", String("utf-8")), ("partitions", Array(Int32)))))


class _DescribeLogDirs(Request[_Question]):  # type: ignore[misc]  # aiokafka ships no types
    """Of every topic."""

    API_KEY = 35

    def build(self, request_struct_class: type[_Question]) -> _Question:
        return request_struct_class(None)


async def topic_sizes(kafka: KafkaSettings, topics: Collection[str]) -> Mapping[str, int]:
    """Bytes by topic. Raises KafkaError, also if this user may not ask, or TimeoutError."""
    sizes: Counter[str] = Counter(dict.fromkeys(topics, 0))
    async with asyncio.timeout(TIME_LIMIT_S), started(AIOKafkaAdminClient(**client_options(kafka))) as admin:
        for broker in (await admin.describe_cluster())["brokers"]:
            # The way to one broker of several is not among aiokafka's public methods.
            answer = await admin._send_request_to_node(broker["node_id"], _DescribeLogDirs())
            for code, _, found in answer.results:
                if code:
                    raise for_code(code)
                for name, partitions in found:
                    if name in sizes:
                        sizes[name] += sum(size for _, size, _, _ in partitions)
    return sizes
