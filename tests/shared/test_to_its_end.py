"""What must not be cancelled in the middle ends first, unless it takes too long."""

import asyncio

import pytest

from shared.to_its_end import AFTER_CANCELLATION_S, to_its_end


async def _cancelled_thrice(task: asyncio.Task[None]) -> None:
    for _ in range(3):
        await asyncio.sleep(0.01)
        task.cancel()
    await asyncio.wait({task})


async def test_it_ends_however_often_its_caller_is_cancelled() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(0.1)
        done.append("all of it")

    caller = asyncio.create_task(to_its_end(work()))
    await _cancelled_thrice(caller)

    assert done == ["all of it"]
    assert caller.cancelled()


async def test_what_hangs_is_cancelled_in_the_end() -> None:
    caller = asyncio.create_task(to_its_end(asyncio.Event().wait()))  # type: ignore[arg-type]  # whatever it would return
    began_at = asyncio.get_running_loop().time()
    await _cancelled_thrice(caller)

    assert caller.cancelled()
    assert asyncio.get_running_loop().time() - began_at >= AFTER_CANCELLATION_S


async def test_a_caller_that_waits_no_longer_is_told_so() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await to_its_end(asyncio.sleep(0.05))


async def test_a_failure_is_its_callers() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise KeyError("broken")

    with pytest.raises(KeyError):
        await to_its_end(fail())

    caller = asyncio.create_task(to_its_end(fail()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
