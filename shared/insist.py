"""Writing down an outcome although the database is away for a moment: one that is not written down is unknown."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from shared.database import is_transient

log = structlog.get_logger()

RETRY_S = 0.5

Written = TypeVar("Written")


async def insist(write: Callable[[], Awaitable[Written]], *, until: float) -> Written:
    """Try `write` until it succeeds or the lease is over, at `until` of the monotonic clock; then raise as it does."""
    while True:
        try:
            return await write()
        except Exception as error:
            if not is_transient(error) or time.monotonic() > until:
                raise
            log.warning("outcome not recorded, will be tried again", error=type(error).__name__)
        await asyncio.sleep(RETRY_S)
