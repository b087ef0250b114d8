"""Does what would leave something open if it were cancelled in the middle; but something left open is better than a
process that does not end, so it has some seconds for it.
"""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

LIMIT_S = 2.0
# Then it is cancelled until it ends, and at last left alone.
CANCEL_AGAIN_S = 0.1
LEAVE_AFTER_S = 0.5


async def to_its_end(work: Coroutine[Any, Any, None], *, limited: bool = False) -> None:
    """Whoever is cancelled meanwhile, even more than once (see shared/cancelling.py), is so when it has ended.

    It has LIMIT_S from the first cancellation, or, if `limited`, from the beginning; then raises TimeoutError.
    """
    task = asyncio.ensure_future(work)
    heeded: asyncio.CancelledError | None = None
    until = time.monotonic() + LIMIT_S if limited else None
    while not task.done() and (until is None or time.monotonic() < until + LEAVE_AFTER_S):
        if until is not None and time.monotonic() >= until:
            task.cancel()
        try:
            await asyncio.wait({task}, timeout=None if until is None else CANCEL_AGAIN_S)
        except asyncio.CancelledError as error:
            heeded = error
            until = until or time.monotonic() + LIMIT_S
    failed: BaseException | None = TimeoutError()
    if task.done():
        failed = failed if task.cancelled() else task.exception()
    if heeded:
        raise heeded from failed
    if failed:
        raise failed
