"""Calls that wait at the same moment are made as one, and each gets what is its own."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.together import Answers, Together


async def test_calls_that_come_together_are_one_and_each_gets_its_own_answer() -> None:
    acted: list[list[int]] = []

    async def double(numbers: Sequence[int]) -> Sequence[int]:
        acted.append(list(numbers))
        return [number * 2 for number in numbers]

    together = Together(double)

    assert await asyncio.gather(*(together(number) for number in range(5))) == [0, 2, 4, 6, 8]
    assert acted == [[0, 1, 2, 3, 4]]
    assert await together(7) == 14


async def test_what_comes_while_one_acts_gathers_for_the_next() -> None:
    may_end = asyncio.Event()
    acting = asyncio.Event()
    acted: list[list[int]] = []

    async def act(numbers: Sequence[int]) -> Sequence[int]:
        acted.append(list(numbers))
        acting.set()
        await may_end.wait()
        return numbers

    together = Together(act)
    first = asyncio.create_task(together(1))
    await acting.wait()
    others = [asyncio.create_task(together(number)) for number in (2, 3)]
    await asyncio.sleep(0)
    may_end.set()

    assert await asyncio.gather(first, *others) == [1, 2, 3]
    assert acted == [[1], [2, 3]]


async def test_what_it_raises_all_of_them_raise_and_the_next_is_not_harmed() -> None:
    broken = True

    async def act(numbers: Sequence[int]) -> Sequence[int]:
        if broken:
            raise ConnectionError("away")
        return numbers

    together = Together(act)

    found = await asyncio.gather(together(1), together(2), return_exceptions=True)
    broken = False

    assert [type(one) for one in found] == [ConnectionError, ConnectionError]
    assert await together(3) == 3


async def test_one_that_is_cancelled_takes_no_others_answer() -> None:
    may_end = asyncio.Event()

    async def act(numbers: Sequence[int]) -> Sequence[int]:
        await may_end.wait()
        return numbers

    together = Together(act)
    first = asyncio.create_task(together(1))
    await asyncio.sleep(0)
    waiting, cancelled = asyncio.create_task(together(2)), asyncio.create_task(together(3))
    await asyncio.sleep(0)
    cancelled.cancel()
    may_end.set()

    assert (await first, await waiting) == (1, 2)
    with pytest.raises(asyncio.CancelledError):
        await cancelled


async def test_answers_are_waited_for_while_some_are_under_way() -> None:
    answers = Answers()
    came: list[str] = []

    async def request(name: str) -> None:
        with answers.one_more():
            await asyncio.sleep(0)
        came.append(name)

    async def nobody_else() -> None:
        await answers.come_up()
        came.append("alone")

    await nobody_else()
    under_way = asyncio.create_task(request("other"))
    await asyncio.sleep(0)
    await answers.come_up()

    assert came == ["alone", "other"]
    await under_way
    assert answers.awaited == 0


async def test_an_answer_that_does_not_come_is_not_waited_for_for_ever() -> None:
    answers = Answers()

    with answers.one_more():
        await asyncio.wait_for(answers.come_up(), timeout=30)
