"""Calls that wait at the same moment, made as one: workers share a transaction without waiting for each other.

While one transaction runs, whoever comes meanwhile gathers for the next; with a single worker nothing changes. Workers
that got their results together ask for the next thing together: whoever is first lets the others come up.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Generic, TypeVar

ANSWERS_WAITED_FOR_MS = 4

Item = TypeVar("Item")
Result = TypeVar("Result")


async def _let_others_come_up() -> None:
    await asyncio.sleep(0)


class Together(Generic[Item, Result]):
    """`act` gets all items that wait and returns their results in the same order; what it raises, all of them raise.

    `gather` returns when no more callers are worth waiting for; by default those that can go on at once have come up.
    """

    def __init__(
        self,
        act: Callable[[Sequence[Item]], Awaitable[Sequence[Result]]],
        *,
        gather: Callable[[], Awaitable[None]] = _let_others_come_up,
    ) -> None:
        self._act = act
        self._gather = gather
        self._waiting: list[tuple[Item, asyncio.Future[Result]]] = []
        self._acting = asyncio.Lock()

    async def __call__(self, item: Item) -> Result:
        """The result for `item`."""
        own: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, own))
        async with self._acting:
            await self._gather()
            if not own.done():
                await self._act_for_all()
        return await own

    async def _act_for_all(self) -> None:
        taken, self._waiting = self._waiting, []
        try:
            results = await self._act([item for item, _ in taken])
        except BaseException as error:
            for _, future in taken:
                if not future.done():
                    future.set_exception(error)
                    future.exception()  # a caller that was cancelled does not ask for it
            raise
        for (_, future), result in zip(taken, results, strict=True):
            if not future.done():
                future.set_result(result)


class Answers:
    """Requests under way, whose answers are worth a moment's wait: one transaction for all costs little more than one
    for each. Nobody waits who is alone, and nobody for long."""

    def __init__(self) -> None:
        self.awaited = 0

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """A request is under way while the block runs."""
        self.awaited += 1
        try:
            yield
        finally:
            self.awaited -= 1

    async def come_up(self) -> None:
        """Let others' answers come; for `Together`."""
        for _ in range(ANSWERS_WAITED_FOR_MS):
            if self.awaited == 0:
                break
            await asyncio.sleep(0.001)
