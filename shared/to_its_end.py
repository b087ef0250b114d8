"""Does what would leave something open if it were cancelled in the middle."""

import asyncio
from collections.abc import Coroutine
from typing import Any


async def to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Whoever is cancelled meanwhile, even more than once (see shared/cancelling.py), is so when it has ended."""
    task = asyncio.ensure_future(work)
    heeded: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            heeded = error
    failed = task.exception()
    if broken := heeded or failed:
        raise broken
