"""Every test of the commands starts without any setting of the machine it runs on."""

import os

import pytest

from ops.addresses import SETTING_OF_KEY
from tests.ops.on_a_stack import stack

__all__ = ["stack"]


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        known = name.removesuffix("_FILE") in SETTING_OF_KEY.values() or name.startswith(("KAFKA_", "CLOUD"))
        if known or name == "TICKETSYNC_DATA_DIR":
            monkeypatch.delenv(name)
