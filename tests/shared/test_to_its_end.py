"""What must not be cancelled in the middle ends first, unless it takes too long."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from shared.cancelling import CANCEL_AGAIN_S, CANCEL_TRIES, cancelled
from shared.to_its_end import LIMIT_S, to_its_end


async def _ended_after_s(task: asyncio.Task[None]) -> float:
    """Cancelled until it has ended, as a service's tasks are."""
    began_at = asyncio.get_running_loop().time()
    await cancelled([task])
    assert task.done()
    return asyncio.get_running_loop().time() - began_at


async def _hang() -> None:
    await asyncio.Event().wait()


async def _hang_and_lose_a_cancellation() -> None:
    try:
        await _hang()
    except asyncio.CancelledError:
        await _hang()


async def test_it_ends_however_often_its_caller_is_cancelled() -> None:
    done = []

    async def work() -> None:
        await asyncio.sleep(CANCEL_AGAIN_S * 1.5)
        done.append("all of it")

    caller = asyncio.create_task(to_its_end(work()))
    await asyncio.sleep(0.01)
    await _ended_after_s(caller)

    assert done == ["all of it"]
    assert caller.cancelled()


@pytest.mark.parametrize("work", [_hang, _hang_and_lose_a_cancellation])
async def test_what_hangs_is_cancelled_in_the_end(work: Callable[[], Awaitable[None]]) -> None:
    caller = asyncio.create_task(to_its_end(work()))  # type: ignore[arg-type]  # each is a coroutine
    await asyncio.sleep(0.01)

    assert LIMIT_S <= await _ended_after_s(caller) < CANCEL_TRIES * CANCEL_AGAIN_S
    assert caller.cancelled()


async def test_what_never_ends_is_left_alone() -> None:
    left = asyncio.Event()

    async def work() -> None:
        while not left.is_set():
            try:
                await left.wait()
            except asyncio.CancelledError:
                continue

    with pytest.raises(TimeoutError):
        await to_its_end(work(), limited=True)
    left.set()


async def test_a_caller_that_waits_no_longer_is_told_so() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await to_its_end(asyncio.sleep(0.05))


async def test_a_failure_is_its_callers_also_of_one_that_is_cancelled() -> None:
    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise KeyError("broken")

    with pytest.raises(KeyError):
        await to_its_end(fail())
    caller = asyncio.create_task(to_its_end(fail()))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError) as raised:
        await caller

    assert isinstance(raised.value.__cause__, KeyError)
