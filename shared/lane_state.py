"""What a lane's row says: whether requests may be sent to the cloud, and if not, why and when to look again.

Values alone; who reads and writes them: shared/lane_row.py.
"""

from dataclasses import dataclass, replace
from datetime import datetime

PAUSED = "paused"
PROBE_S = {"rate_limited": 1.0, "circuit_open": 1.0, "no_route": 60.0}
PACED_LOOK_S = 0.1


class LaneShut(Exception):
    """No request may be sent now. `retry_s`: when to look again, if that is known."""

    def __init__(self, retry_s: float | None) -> None:
        super().__init__("the lane is stopped")
        self.retry_s = retry_s


@dataclass(frozen=True)
class Paused:
    """Somebody has stopped the lane. `by` is None if the caller did not say."""

    at: datetime
    by: str | None
    why: str


@dataclass(frozen=True)
class LaneState:
    """The row. `reason` is None while the lane is open; `met`: the same as if nobody had paused it.

    `allowance`: how many more requests may be begun while it is open, None for any number.
    """

    reason: str | None
    message: str | None
    probe_at: datetime | None
    probe_due: bool
    failures: int
    capabilities: frozenset[str]
    met: str | None
    allowance: int | None = None
    paused: Paused | None = None

    def under(self, paused: Paused) -> "LaneState":
        """The same while somebody has paused it."""
        message = f"{paused.by or 'somebody'} at {paused.at:%Y-%m-%d %H:%M}Z: {paused.why}"
        return replace(self, reason=PAUSED, message=message, probe_at=None, probe_due=False, paused=paused)

    @property
    def shut(self) -> bool:
        """Whether nothing may be sent now."""
        return (self.reason is not None or self.allowance == 0) and not self.probe_due

    @property
    def look_again_s(self) -> float | None:
        """When to look again while nothing may be sent; None: when somebody says so."""
        return PROBE_S.get(self.reason) if self.reason else PACED_LOOK_S

    @property
    def probing(self) -> bool:
        """What enters now is let through to find out whether anything goes."""
        return self.reason is not None

    @property
    def untroubled(self) -> bool:
        """Open without reserve, and no failure since the last success."""
        return self.reason is None and self.failures == 0 and self.allowance is None
