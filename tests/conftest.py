"""Makes the shared fixtures known to all tests."""

pytest_plugins = ["tests.servers"]
