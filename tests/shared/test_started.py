"""A client of Kafka leaves no connection open, wherever in its start, use or stop its user is cancelled."""

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.conn import AIOKafkaConnection

from shared.kafka import started

PLACES = 60  # more than it takes from the first connection to the last one's end
PAUSE_S = 0.0002


@pytest.mark.parametrize("make", [AIOKafkaConsumer, AIOKafkaAdminClient])
async def test_whoever_is_cancelled_again_and_again_leaves_no_connection_open(
    make: Callable[..., Any], kafka_bootstrap_servers: str
) -> None:
    left, cancelled = [], []
    for place in range(PLACES):
        using = asyncio.create_task(_use(make(bootstrap_servers=kafka_bootstrap_servers)))
        await asyncio.sleep(place * PAUSE_S)
        while not using.done():
            using.cancel()
            await asyncio.sleep(PAUSE_S)
        cancelled.append(using.cancelled())
        left += _open_connections()
        for one in left:
            one.close()

    assert left == []
    assert cancelled[0]


async def test_whoever_is_cancelled_while_a_client_stops_lets_it_stop() -> None:
    client = _Slow()
    using = asyncio.create_task(_use(client))
    await client.stops.wait()
    for _ in range(2):
        using.cancel()
        await asyncio.sleep(0)
    await asyncio.wait({using})

    assert using.cancelled()
    assert client.stopped


class _Slow:
    """One whose stop takes some turns of the event loop."""

    def __init__(self) -> None:
        self._client = self
        self.stops = asyncio.Event()
        self.stopped = False

    async def start(self) -> None:
        """It starts at once."""

    async def fetch_all_metadata(self) -> None:
        """Nothing to know."""

    async def stop(self) -> None:
        self.stops.set()
        await asyncio.sleep(0.05)
        self.stopped = True


async def _use(client: Any) -> None:  # noqa: ANN401  # aiokafka ships no types
    async with started(client):
        await client._client.fetch_all_metadata()


def _open_connections() -> list[AIOKafkaConnection]:
    return [one for one in gc.get_objects() if isinstance(one, AIOKafkaConnection) and one.connected()]
