"""Emulators for the tests of this folder: one with everything, one as the cloud is deployed today."""

from collections.abc import Iterator

import pytest

from tests.emulator.running import Emulator, running_emulator


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
    _able.control("PUT", "capabilities", {"capabilities": ["ticket-info", "idempotency-key", "link-version", "read"]})
    _able.control("PUT", "limit", {"requests_per_minute": None})
    _able.control("POST", "wipe")
    return _able


@pytest.fixture
def deployed(_deployed: Emulator) -> Emulator:
    """The cloud as it is today, as on its first day."""
    _deployed.control("POST", "wipe")
    return _deployed
