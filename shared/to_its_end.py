"""Does what would leave something open if it were cancelled in the middle."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

# Less than tasks are given to end (shared/cancelling.py): something left open is better than a process that stays.
AFTER_CANCELLATION_S = 2.0


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Whoever is cancelled meanwhile, even more than once, is so when it has ended, or after AFTER_CANCELLATION_S."""
    task = asyncio.ensure_future(work)
    heeded: asyncio.CancelledError | None = None
    until: float | None = None
    while not task.done():
        try:
            await asyncio.wait({task}, timeout=None if until is None else max(0.0, until - time.monotonic()))
            if not task.done():
                task.cancel()
                until = None
        except asyncio.CancelledError as error:
            until = time.monotonic() + AFTER_CANCELLATION_S if heeded is None else until
            heeded = error
    failed = None if task.cancelled() else task.exception()
    if heeded:
        raise heeded from failed
    task.result()
