"""Virtual time: nothing in a simulation waits, and nothing reads the real clock.

`monotonic_s` only rises and is the same for all processes; what a wall clock shows is that plus its own offset, so
that a database's clock, or a process's, can be set forward and back under everything that runs.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from types import SimpleNamespace

from tests.simulation.points import Pause, Point

BEGINNING = datetime(2025, 1, 29, 12, 0, tzinfo=UTC)


@dataclass
class Clock:
    """`offsets_s`: by how much whose wall clock is wrong."""

    monotonic_s: float = 1_000.0
    offsets_s: dict[str, float] = field(default_factory=dict)

    def now(self, whose: str = "") -> datetime:
        """The wall clock of a database, or the true time."""
        return BEGINNING + timedelta(seconds=self.monotonic_s + self.offsets_s.get(whose, 0.0))


class _Now:
    """The clock of the simulation that runs; the product's modules read it instead of `time` and `datetime`."""

    clock = Clock()


def begin(clock: Clock) -> None:
    """Let the product's modules read this clock."""
    _Now.clock = clock


def _monotonic() -> float:
    return _Now.clock.monotonic_s


async def _sleep(_: float) -> None:
    await Pause(Point.WAITING)


class VirtualDatetime(datetime):
    """`datetime` for modules that ask it for the present."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]  # an ordinary datetime
        """The true time; a process's own clock is right, only databases' are set wrong."""
        return _Now.clock.now() if tz else _Now.clock.now().replace(tzinfo=None)


VIRTUAL_TIME = SimpleNamespace(monotonic=_monotonic)
VIRTUAL_ASYNCIO = SimpleNamespace(sleep=_sleep)
