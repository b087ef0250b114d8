"""One project of containers for all tests of a run, with two cloud_updaters."""

import os
from collections.abc import Iterator

import pytest

from local.ports import held_ports
from tests.docker.containers import IMAGE, Containers, why_not

SECRETS = {
    "API_TOKEN": "an-api-token-of-this-test",
    "CLOUDS_TOKEN": "a-cloud-token-of-this-test",
    "POSTGRES_PASSWORD": "throw-away-postgres",
    "LINKER_DATABASE_PASSWORD": "throw-away-linker",
    "TRANSFER_DATABASE_PASSWORD": "throw-away-transfer",
    "CLOUD_UPDATER_DATABASE_PASSWORD": "throw-away-cloud-updater",
}


@pytest.fixture(scope="session")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What .env would say: secrets of its own and free ports."""
    folder = tmp_path_factory.mktemp("ports")
    with held_ports(folder / "ports.json", ["kafka", "cloud_emulator"], say=print) as ports:
        pass  # the engine's own proxy listens there
    return SECRETS | {
        "TICKETSYNC_IMAGE": IMAGE,
        "KAFKA_PORT": str(ports["kafka"]),
        "CLOUD_EMULATOR_PORT": str(ports["cloud_emulator"]),
        # Empty: any free port.
        "LINKER_PORTS": "",
        "TRANSFER_PORTS": "",
        "CLOUD_UPDATER_PORTS": "",
    }


@pytest.fixture(scope="session")
def containers(settings: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    """The whole system, healthy; gone with its data after the run, also when it did not start."""
    if reason := why_not():
        pytest.skip(reason)
    started = Containers(
        f"ticketsync-test-{os.getpid()}", settings, env_file=tmp_path_factory.mktemp("compose") / "empty.env"
    )
    try:
        started.up(cloud_updater=2)
        yield started
    finally:
        started.down()
