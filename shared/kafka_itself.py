"""Which release Kafka runs and what time it has: requests of Kafka's protocol that aiokafka does not have.

Source: https://kafka.apache.org/protocol, ApiVersions version 3 and DescribeQuorum version 1. The release is told by a
feature level that all brokers agree on, so during a rolling upgrade it is the older one. The time is that of the
controller, which says of itself that it has caught up now; nothing has to be written to learn it.
"""

import asyncio
from dataclasses import dataclass
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import for_code
from aiokafka.protocol.api import Request, RequestStruct, Response, ResponseHeader_v0
from aiokafka.protocol.types import CompactArray, CompactString, Int16, Int32, Int64, Schema, TaggedFields

from shared.kafka import KafkaSettings, client_options, started

TIME_LIMIT_S = 20.0
METADATA_LOG = "__cluster_metadata"
FINALIZED_FEATURES_TAG = 2

_TAGS = ("tags", TaggedFields)
_FEATURES = CompactArray(("name", CompactString("utf-8")), ("level", Int16), ("least_level", Int16), _TAGS)
_REPLICAS = CompactArray(
    ("replica_id", Int32), ("log_end_offset", Int64), ("last_fetch", Int64), ("last_caught_up", Int64), _TAGS
)


class _Versions(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 18
    API_VERSION = 3
    SCHEMA = Schema(
        ("error_code", Int16),
        ("apis", CompactArray(("api_key", Int16), ("min_version", Int16), ("max_version", Int16), _TAGS)),
        ("throttle_time_ms", Int32),
        _TAGS,
    )


class _VersionsQuestion(RequestStruct):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 18
    API_VERSION = 3
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Versions
    SCHEMA = Schema(("software", CompactString("utf-8")), ("software_version", CompactString("utf-8")), _TAGS)

    def parse_response_header(self, data: bytes | BytesIO) -> ResponseHeader_v0:
        """Of this answer alone it has the old form, so that older clients can read it."""
        return ResponseHeader_v0.decode(data)


class _ApiVersions(Request[_VersionsQuestion]):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 18

    def build(self, request_struct_class: type[_VersionsQuestion]) -> _VersionsQuestion:
        return request_struct_class("ticketsync", "1", {})


class _Quorum(Response):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 55
    API_VERSION = 1
    SCHEMA = Schema(
        ("error_code", Int16),
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("leader_id", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", _REPLICAS),
                        ("observers", _REPLICAS),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _QuorumQuestion(RequestStruct):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 55
    API_VERSION = 1
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Quorum
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", CompactString("utf-8")), ("partitions", CompactArray(("partition", Int32), _TAGS)), _TAGS
            ),
        ),
        _TAGS,
    )


class _DescribeQuorum(Request[_QuorumQuestion]):  # type: ignore[misc]  # aiokafka ships no types
    API_KEY = 55

    def build(self, request_struct_class: type[_QuorumQuestion]) -> _QuorumQuestion:
        return request_struct_class([(METADATA_LOG, [(0, {})], {})], {})


@dataclass(frozen=True)
class KafkaItself:
    """`metadata_level`: of the feature metadata.version. `now`: by its own clock."""

    metadata_level: int
    now: datetime


async def kafka_itself(kafka: KafkaSettings) -> KafkaItself:
    """Raises KafkaError, also if this user may not ask, or TimeoutError."""
    async with asyncio.timeout(TIME_LIMIT_S), started(AIOKafkaAdminClient(**client_options(kafka))) as admin:
        broker = (await admin.describe_cluster())["brokers"][0]["node_id"]
        # The way to one broker is not among aiokafka's public methods.
        versions = await admin._send_request_to_node(broker, _ApiVersions())
        quorum = await admin._send_request_to_node(broker, _DescribeQuorum())
    return KafkaItself(_metadata_level(versions), _leaders_time(quorum))


def _metadata_level(answer: Any) -> int:  # noqa: ANN401  # aiokafka ships no types
    if answer.error_code:
        raise for_code(answer.error_code)
    features = _FEATURES.decode(BytesIO(answer.tags[FINALIZED_FEATURES_TAG]))
    return next(int(level) for name, level, *_ in features if name == "metadata.version")


def _leaders_time(answer: Any) -> datetime:  # noqa: ANN401  # aiokafka ships no types
    if answer.error_code:
        raise for_code(answer.error_code)
    [(_, [(_, error_code, leader, _, _, voters, _, _)], _)] = answer.topics
    if error_code:
        raise for_code(error_code)
    caught_up_ms = next(voter[3] for voter in voters if voter[0] == leader)
    return datetime.fromtimestamp(caught_up_ms / 1000, UTC)
