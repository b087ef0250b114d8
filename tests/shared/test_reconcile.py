"""The reconcile loop: it looks when there may be work, never twice for nothing, and stops between two steps."""

import asyncio
import time

import pytest

from shared.cancelling import cancelled
from shared.gate import GateClosed
from shared.reconcile import Loop


class Work:
    """Lots that wait to be done, and when each was."""

    def __init__(self, lots: int = 0, *, takes_s: float = 0.0) -> None:
        self.lots = lots
        self.takes_s = takes_s
        self.done_at: list[float] = []
        self.looks = 0
        self.at_once = 0
        self.most_at_once = 0

    async def step(self) -> float | None:
        self.looks += 1
        if not self.lots:
            return None
        self.lots -= 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.takes_s)
        self.at_once -= 1
        self.done_at.append(time.monotonic())
        return 0


async def _run_for(loop: Loop, seconds: float) -> None:
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(seconds)
    loop.stop()
    await asyncio.wait_for(running, 5)


async def test_it_works_until_there_is_nothing_more() -> None:
    work = Work(lots=5)

    await _run_for(Loop("five", work.step, beat_s=60), 0.1)

    assert (len(work.done_at), work.looks) == (5, 6)


async def test_it_looks_at_once_when_it_is_woken() -> None:
    work = Work()
    loop = Loop("woken", work.step, beat_s=60)
    running = asyncio.create_task(loop.run())
    await asyncio.sleep(0.05)
    work.lots = 1
    woken_at = time.monotonic()

    loop.wake()
    await asyncio.sleep(0.1)
    loop.stop()
    await running

    assert work.done_at[0] - woken_at < 0.05


async def test_being_woken_while_it_looks_is_not_forgotten() -> None:
    looks = 0
    looking, go_on = asyncio.Event(), asyncio.Event()

    async def step() -> float | None:
        nonlocal looks
        looks += 1
        looking.set()
        await go_on.wait()
        return None

    loop = Loop("busy", step, beat_s=60)
    running = asyncio.create_task(loop.run())
    await looking.wait()
    loop.wake()
    go_on.set()
    await asyncio.sleep(0.05)
    loop.stop()
    await running

    assert looks == 2


async def test_it_looks_by_itself_at_a_slow_beat() -> None:
    work = Work()

    await _run_for(Loop("beat", work.step, beat_s=0.05), 0.28)

    assert 4 <= work.looks <= 7


async def test_it_comes_back_when_the_step_says_so() -> None:
    looks: list[float] = []

    async def step() -> float | None:
        looks.append(time.monotonic())
        return 0.05

    await _run_for(Loop("planned", step, beat_s=60), 0.18)

    assert 3 <= len(looks) <= 4


async def test_several_workers_share_the_lots() -> None:
    work = Work(lots=8, takes_s=0.05)

    await _run_for(Loop("shared", work.step, workers=4, beat_s=60), 0.3)

    assert (len(work.done_at), work.most_at_once) == (8, 4)


async def test_passing_trouble_is_tried_again() -> None:
    failures = iter([ConnectionResetError(), TimeoutError(), GateClosed()])
    work = Work(lots=1)

    async def step() -> float | None:
        for failure in failures:
            raise failure
        return await work.step()

    await _run_for(Loop("trouble", step, beat_s=0.02), 0.2)

    assert len(work.done_at) == 1


async def test_a_defect_ends_it() -> None:
    async def step() -> float | None:
        raise KeyError("a defect")

    with pytest.raises(ExceptionGroup) as raised:
        await Loop("defect", step).run()

    assert isinstance(raised.value.exceptions[0], KeyError)


async def test_it_stops_after_the_step_that_it_is_in() -> None:
    work = Work(lots=10, takes_s=0.1)

    await _run_for(Loop("stopping", work.step, beat_s=60), 0.05)

    assert (len(work.done_at), work.at_once) == (1, 0)


async def test_a_task_that_loses_a_cancellation_is_cancelled_again() -> None:
    """As a client of Kafka does in the middle of closing a connection."""
    lost = 0

    async def deaf() -> None:
        nonlocal lost
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                lost += 1
                if lost == 2:
                    raise

    task = asyncio.create_task(deaf())
    await asyncio.sleep(0)

    await asyncio.wait_for(cancelled([task]), 5)

    assert task.cancelled()
    assert lost == 2
