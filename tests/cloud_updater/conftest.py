"""cloud_updater on genuine PostgreSQL, against an emulator with every capability but link-version, as a start.

A cloud that compares link versions needs no second pushes, so most tests use one that does not.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.cloud_updater.running import Updater, running_updater
from tests.emulator.running import Emulator, running_emulator
from tests.shared.databases import Emptied, migrated_database

CAPABILITIES = ("ticket-info", "idempotency-key", "read")


@pytest.fixture(scope="session")
def _emulator() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture
def cloud(_emulator: Emulator) -> Emulator:
    """As on its first day."""
    _emulator.control("PUT", "capabilities", {"capabilities": CAPABILITIES})
    _emulator.control("PUT", "limit", {"requests_per_minute": None})
    _emulator.control("POST", "wipe")
    return _emulator


@pytest.fixture(scope="session")
def _migrated(postgres_url: str) -> Iterator[Emptied]:
    with migrated_database(postgres_url, "cloud_updater") as database:
        yield database


@pytest.fixture
async def updater_url(_migrated: Emptied) -> str:
    """A database of cloud_updater in which nothing has happened yet."""
    return await _migrated.empty()


@pytest.fixture
async def updater(updater_url: str, cloud: Emulator) -> AsyncIterator[Updater]:
    async with running_updater(updater_url, cloud) as service:
        yield service
