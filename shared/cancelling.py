"""Ends tasks for certain: a cancellation can be lost on its way."""

import asyncio
from collections.abc import Collection
from typing import Any

import structlog

log = structlog.get_logger()

CANCEL_AGAIN_S = 0.5
CANCEL_TRIES = 6


async def cancelled(tasks: Collection[asyncio.Task[Any]]) -> None:
    """Cancel until all have ended, for some seconds at most.

    Once may not be enough: in Python 3.11 `asyncio.wait_for`, which the clients of Kafka and PostgreSQL use, loses a
    cancellation that comes as what it waits for ends.
    """
    for _ in range(CANCEL_TRIES):
        pending = [task for task in tasks if not task.done()]
        if not pending:
            return
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
    log.error("tasks do not end", tasks=[task.get_name() for task in tasks if not task.done()])
