"""transfer on a database of its own, against an emulator with every capability; and against the deployed cloud."""

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.emulator.running import Emulator, running_emulator
from tests.shared.databases import Emptied, migrated_database
from tests.transfer.running import Transfer, running_transfer


@pytest.fixture(scope="session")
def _able() -> Iterator[Emulator]:
    with running_emulator() as emulator:
        yield emulator


@pytest.fixture(scope="session")
def _deployed() -> Iterator[Emulator]:
    with running_emulator(capabilities=()) as emulator:
        yield emulator


@pytest.fixture
def cloud(_able: Emulator) -> Emulator:
    """A cloud with all capabilities, as on its first day."""
    _able.control("POST", "wipe")
    return _able


@pytest.fixture
def deployed(_deployed: Emulator) -> Emulator:
    """The cloud as it is deployed: without any capability."""
    _deployed.control("POST", "wipe")
    return _deployed


@pytest.fixture(scope="session")
def _migrated(postgres_url: str) -> Iterator[Emptied]:
    with migrated_database(postgres_url, "transfer") as database:
        yield database


@pytest.fixture
async def transfer_url(_migrated: Emptied) -> str:
    """A database of transfer in which nothing has happened yet."""
    return await _migrated.empty()


@pytest.fixture
async def transfer(transfer_url: str, cloud: Emulator) -> AsyncIterator[Transfer]:
    async with running_transfer(transfer_url, cloud) as service:
        yield service
