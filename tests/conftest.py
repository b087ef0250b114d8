"""Makes the shared fixtures known to all tests."""

import logging
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

pytest_plugins = ["tests.servers"]

# A Kafka of the tests does not live long enough to earn back what Java's second compiler costs.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

# A run that was started in the background ignores Ctrl-C, and so would every program that it starts; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that take long begin first: at the end, one worker would be busy with them and the other idle."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture
def logging_as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a test in which a service configures logging: it does so for good, and its loggers keep what they were given.

    Without this, whatever runs later in the same process would write to the output of that test, which is closed.
    """
    root = logging.getLogger()
    handlers, level = set(root.handlers), root.level
    levels = {name: one.level for name, one in root.manager.loggerDict.items() if isinstance(one, logging.Logger)}
    configure = structlog.configure

    def configure_for_now(**given: Any) -> None:  # noqa: ANN401  # whatever it takes
        configure(**{**given, "cache_logger_on_first_use": False})

    monkeypatch.setattr(structlog, "configure", configure_for_now)
    yield
    for handler in set(root.handlers) - handlers:
        root.removeHandler(handler)
    root.setLevel(level)
    for name, one in root.manager.loggerDict.items():
        if isinstance(one, logging.Logger):
            one.setLevel(levels.get(name, logging.NOTSET))
    structlog.contextvars.clear_contextvars()
    structlog.reset_defaults()
