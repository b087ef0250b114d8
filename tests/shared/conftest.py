"""The plumbing on genuine PostgreSQL and Kafka, with tables that belong to no service."""

from collections.abc import AsyncIterator, Iterator

import pytest

from shared import topics
from tests.emulator.running import Emulator, running_emulator
from tests.shared.databases import Emptied, declared_database
from tests.shared.things import FIRST_ROWS, Things, ThingTable, a_topic
from tests.shared.traffic import Traffic, traffic_on


@pytest.fixture(scope="session")
def _declared(postgres_url: str) -> Iterator[Emptied]:
    with declared_database(postgres_url, ThingTable.metadata, FIRST_ROWS) as database:
        yield database


@pytest.fixture
async def things_url(_declared: Emptied) -> str:
    """A database of things in which nothing has happened yet."""
    return await _declared.empty()


@pytest.fixture
async def things(things_url: str, kafka_bootstrap_servers: str) -> Things:
    """With a topic of its own, of two partitions."""
    topic = a_topic()
    await topics.apply(kafka_bootstrap_servers, [topic])
    return Things(things_url, topic)


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def cloud(_emulator: Emulator) -> Emulator:
    """With every capability, as on its first day."""
    _emulator.control(
        "PUT", "capabilities", {"capabilities": ["ticket-info", "idempotency-key", "link-version", "read"]}
    )
    _emulator.control("PUT", "limit", {"requests_per_minute": None})
    _emulator.control("POST", "wipe")
    return _emulator


@pytest.fixture
async def new(things_url: str, cloud: Emulator) -> AsyncIterator[Traffic]:
    async with traffic_on(things_url, cloud) as traffic:
        yield traffic


@pytest.fixture
async def traffic(new: Traffic) -> Traffic:
    """The first ping has been answered."""
    await new.lane.ping()
    new.resets.clear()
    return new
