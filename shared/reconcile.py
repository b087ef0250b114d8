"""The reconcile loop: look for what is wanted but not so, act on it, look again.

A service gives a step that claims one lot, acts and records the outcome; the loop decides when to call it: at once
after a step that found work, when somebody wakes it, at the time the step named, and at a slow beat whatever happens,
because a wake-up may be lost. It stops between two steps. What failed stands in a row with its next try, never in the
loop.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import structlog

from shared import metrics
from shared.database import is_transient
from shared.gate import Gate, GateClosed

log = structlog.get_logger()

BEAT_S = 1.0
RETRY_S = 1.0

# Seconds until the step wants to be called again: 0 = it found work, so there may be more; None = nothing is planned.
Step = Callable[[], Awaitable[float | None]]


@dataclass(eq=False)
class Loop:
    """`workers` tasks share one step; each claims for itself, so they never act on the same lot."""

    name: str
    step: Step
    gate: Gate | None = None
    workers: int = 1
    beat_s: float = BEAT_S
    beat_at: float = field(default_factory=time.monotonic)
    _asleep: deque[asyncio.Future[None]] = field(default_factory=deque)
    _woken: bool = False
    _stopping: bool = False

    def wake(self) -> None:
        """There may be work: one sleeping worker looks at once, or the next to finish does."""
        while self._asleep:
            worker = self._asleep.popleft()
            if not worker.done():
                worker.set_result(None)
                return
        self._woken = True

    def stop(self) -> None:
        """Let every worker finish its step and end."""
        self._stopping = True
        while self._asleep:
            self.wake()

    async def run(self) -> None:
        """Work until `stop`. Raises what is a bug; transient trouble is logged and tried again after a second."""
        async with asyncio.TaskGroup() as group:
            for _ in range(self.workers):
                group.create_task(self._work())

    async def _work(self) -> None:
        while not self._stopping:
            wait_s = await self._try_step()
            self.beat_at = time.monotonic()
            metrics.BEATS.labels(self.name).set_to_current_time()
            if wait_s == 0:
                if self._asleep:
                    self.wake()  # there may be a lot for a sleeping colleague as well
            else:
                await self._sleep(self.beat_s if wait_s is None else min(wait_s, self.beat_s))

    async def _try_step(self) -> float | None:
        if self.gate and not self.gate.is_open:
            return None
        try:
            return await self.step()
        except GateClosed:
            return None
        except Exception as error:
            if not is_transient(error):
                raise
            log.warning("step failed, will be tried again", loop=self.name, error=type(error).__name__)
            return RETRY_S

    async def _sleep(self, seconds: float) -> None:
        if self._woken or self._stopping:
            self._woken = False
            return
        asleep = asyncio.get_running_loop().create_future()
        self._asleep.append(asleep)
        try:
            async with asyncio.timeout(seconds):
                await asleep
        except TimeoutError:
            pass
        finally:
            if asleep in self._asleep:
                self._asleep.remove(asleep)
