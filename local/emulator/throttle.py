"""The cloud's limit of requests a minute, in windows that begin with the first request after the last one ended."""

import math
import time

WINDOW_S = 60


class Throttle:
    """Counts requests against a limit that may be changed at any time; None means no limit."""

    def __init__(self, requests_per_minute: int | None) -> None:
        self.requests_per_minute = requests_per_minute
        self._ends_at_s = 0.0
        self._taken = 0

    def wait_s(self) -> int | None:
        """None if the request may pass; else whole seconds until the window ends, at least 1."""
        if self.requests_per_minute is None:
            return None
        now_s = time.monotonic()
        if now_s >= self._ends_at_s:
            self._ends_at_s, self._taken = now_s + WINDOW_S, 0
        if self._taken >= self.requests_per_minute:
            return math.ceil(self._ends_at_s - now_s)
        self._taken += 1
        return None
