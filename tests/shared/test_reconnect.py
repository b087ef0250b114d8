"""A Kafka that is away is tried once a second by each client, however often it is asked for."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from aiokafka.client import ConnectionGroup
from aiokafka.structs import BrokerMetadata

from shared.reconnect import AGAIN_S, PatientClient

BROKER = 1


class Away:
    """A broker that hangs up on everybody, and how often somebody came."""

    def __init__(self) -> None:
        self.came = 0
        self.port = 0

    async def hang_up(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.came += 1
        writer.close()


@pytest.fixture
async def away() -> AsyncIterator[Away]:
    broker = Away()
    server = await asyncio.start_server(broker.hang_up, "127.0.0.1", 0)
    broker.port = server.sockets[0].getsockname()[1]
    async with server:
        yield broker


@pytest.fixture
async def client(away: Away) -> AsyncIterator[PatientClient]:
    client = PatientClient(bootstrap_servers=f"127.0.0.1:{away.port}", request_timeout_ms=1_000)
    client.cluster._brokers = {BROKER: BrokerMetadata(BROKER, "127.0.0.1", away.port, None)}
    yield client
    await client.close()


async def test_whoever_asks_within_a_second_does_not_come_again(away: Away, client: PatientClient) -> None:
    answers = [await client.ready(BROKER) for _ in range(50)]

    assert not any(answers)
    assert away.came == 1


async def test_it_comes_again_after_a_second(away: Away, client: PatientClient) -> None:
    began_s = time.monotonic()

    while away.came < 2:
        await client.ready(BROKER)
        await asyncio.sleep(0.01)

    assert time.monotonic() - began_s >= AGAIN_S


async def test_a_connection_of_another_kind_is_tried_by_itself(away: Away, client: PatientClient) -> None:
    await client.ready(BROKER)

    await client.ready(BROKER, group=ConnectionGroup.COORDINATION)

    assert away.came == 2
