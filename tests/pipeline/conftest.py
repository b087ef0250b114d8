"""One stack for all tests of a worker that do not break it, with a grace time that a loaded machine keeps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pipeline.running import Stack, running_stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    data_dir: Path = tmp_path_factory.mktemp("stack") / "data"
    with running_stack(data_dir, TICKET_GRACE_S="3") as running:
        yield running
