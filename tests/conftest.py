"""Makes the shared fixtures known to all tests."""

import signal

pytest_plugins = ["tests.servers"]

# A run that was started in the background ignores Ctrl-C, and so would every program that it starts; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
