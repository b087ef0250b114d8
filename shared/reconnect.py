"""Lets aiokafka try a broker that is away once a second, and not as often as each of its tasks asks for it.

Every task of a consumer that needs a broker connects to it again after `retry_backoff_ms`, and so does each refresh of
the metadata that such a failure asks for: the processes of a small site came to a thousand connections a second. A
longer backoff would also slow down what waits for other reasons, such as a group that is being joined. aiokafka 0.14
has no setting for this alone, so its client is replaced where consumers and producers make theirs; its version is
pinned and a test counts the connections.
"""

import time
from typing import Any

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.consumer import consumer
from aiokafka.producer import producer

AGAIN_S = 1.0


def reconnect_patiently() -> None:
    """From now on, for every consumer and producer in this process. Once is enough, twice is harmless."""
    consumer.AIOKafkaClient = PatientClient
    producer.AIOKafkaClient = PatientClient


class PatientClient(AIOKafkaClient):  # type: ignore[misc]  # aiokafka ships no types
    """A client to which a broker that could not be reached stays out of reach for a second."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401  # aiokafka's own
        super().__init__(**options)
        self._away_until_s: dict[tuple[Any, Any], float] = {}

    async def _get_conn(self, node_id: Any, *, group: Any = ConnectionGroup.DEFAULT, **options: Any) -> Any:  # noqa: ANN401
        place = (node_id, group)
        if time.monotonic() < self._away_until_s.get(place, 0.0):
            return None
        connection = await super()._get_conn(node_id, group=group, **options)
        if connection is None:
            self._away_until_s[place] = time.monotonic() + AGAIN_S
        return connection
