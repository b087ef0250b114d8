"""How long to wait before the next try: what the other side asks for, else exponential with full jitter."""

LEAST_S = 1.0
MOST_S = 900.0


def backoff_s(attempts: int, *, asked_s: float | None, jitter: float) -> float:
    """Seconds until the next try after `attempts` failures in a row (1, 2, …); `jitter` is uniform in 0 … 1.

    An answer's Retry-After wins, with up to a tenth on top so that not everybody comes at the same moment. One of 0, or
    of a moment that is over, asks for no wait: what fails for ever would be sent again without end.
    """
    if asked_s is not None and asked_s >= LEAST_S:
        return min(asked_s * (1 + jitter / 10), MOST_S)
    ceiling = min(MOST_S, 2.0 ** min(attempts, 20))
    return LEAST_S + jitter * (ceiling - LEAST_S)
