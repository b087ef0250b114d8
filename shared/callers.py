"""Who may call a service's HTTP API, and how often.

Two tokens are good at a time, so that one takes the other's place without a moment at which a caller is refused: the
new one becomes API_TOKEN and the old one API_TOKEN_PREVIOUS until every caller has the new one; from files without a
restart (shared/secret_files.py). All are compared
whole, whatever comes out, so that the time it takes tells nothing of them.

How often is counted in the memory of each process: the limit keeps a caller that runs wild from taking everything, it
is no quota. Whoever has no good token is counted by address, so guessing is slowed down as well.
"""

import hmac
import math
from collections import OrderedDict
from collections.abc import Callable, Sequence

# The header that says in whose name a caller asks; see shared/requested_by.py.
REQUESTED_BY = "X-Requested-By"
CALLERS_MAX = 10_000
# Sums of fractions are a little off; a hair more than a second is a second.
ROUNDING_S = 1e-6


def token_of(authorization: str) -> str:
    """What a request's Authorization header shows as a bearer token, empty if nothing."""
    scheme, _, token = authorization.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


class Tokens:
    """The bearer tokens of one service; each is asked for anew at every request, as it may change."""

    def __init__(self, tokens: Sequence[Callable[[], str]]) -> None:
        self._tokens = tokens

    def known(self, given: str) -> int | None:
        """Which of the tokens this is, by its place; None if it is none of them."""
        # An empty one would be what a request without any token shows.
        same = [bool(token) and hmac.compare_digest(given.encode(), token.encode()) for token in self._now()]
        return same.index(True) if any(same) else None

    def _now(self) -> list[str]:
        return [token() for token in self._tokens]


class Rate:
    """Requests that each caller may make: `per_minute` at once, and as many a minute from then on."""

    def __init__(self, per_minute: int) -> None:
        self._per_minute = per_minute
        # Caller → when its whole minute's worth will be there again; who called last stands last.
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def wait_s(self, caller: str, *, now_s: float) -> int:
        """0, and the request counts; or whole seconds until the next one of this caller will."""
        full_at = max(now_s, self._full_at.get(caller, 0.0)) + 60 / self._per_minute
        wait_s = full_at - now_s - 60
        if wait_s > ROUNDING_S:
            return max(1, math.ceil(wait_s - ROUNDING_S))
        self._full_at[caller] = full_at
        self._full_at.move_to_end(caller)
        if len(self._full_at) > CALLERS_MAX:
            self._full_at.popitem(last=False)
        return 0
