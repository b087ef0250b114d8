"""The named points at which a process may be stopped for good, or for a long while.

A crash anywhere else has the effect of a crash at the nearest of these: what a transaction had not committed is gone,
and only what has left the process, or is committed, can be seen by others. Faults on real processes use these names.
"""

from enum import StrEnum
from types import TracebackType


class Point(StrEnum):
    """Where a step stands still."""

    POLLED = "polled"  # records are fetched, nothing is folded
    FOLDED = "folded"  # rows and position are committed, the consumer does not know it yet
    CLAIMED = "claimed"  # a claim or a frozen request is committed, nothing is sent
    SENDING = "sending"  # the last look at the lease is over, the request has not left
    ANSWERED = "answered"  # the cloud has done with the request, the outcome is not recorded
    RECORDED = "recorded"  # the outcome is committed, the lane has not heard of it
    GATHERED = "gathered"  # what is to be announced is read, nothing is published
    PUBLISHED = "published"  # the broker has it, nothing is marked
    MARKED = "marked"  # what was published is marked
    WAITING = "waiting"  # asleep before it tries to write the same once more


class Pause:
    """Awaited where a step may stand still; `point` is None where it depends on the step (a commit)."""

    __slots__ = ("point",)

    def __init__(self, point: Point | None) -> None:
        self.point = point

    def __await__(self):  # type: ignore[no-untyped-def]  # noqa: ANN204  # a generator of itself, for the driver
        yield self


COMMITTED = Pause(None)


class NoTraceback:
    """An async context manager's exit, spelled once."""

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Nothing to end."""
