"""One run: a site under load, faults of every class in an order that the seed decides, and what came of it.

A class of faults counts only as often as it was seen to happen. In calm, load stands still and everything must have
come to rest; what is then still to be done, or shown wrongly, is as much a broken promise as what the watch has found.
"""

import asyncio
import random
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from tests.faults.load import Load
from tests.faults.settle import settled
from tests.faults.site import Copy, Site
from tests.faults.watch import Watch

# Generous: how long a busy machine may take, not how long it should.
SEEN_WITHIN_S = 90.0
SETTLED_WITHIN_S = 150.0
LOOK_EVERY_S = 0.1

T = TypeVar("T")
Say = Callable[[str], None]


class NeverSeen(Exception):
    """A fault that was asked for did not happen; the message says what was waited for."""


@dataclass(eq=False)
class Run:
    """What the faults work with. `seen`: how often each class happened; `broken`: promises that were not kept.

    `orders`: who gives orders to a service's processes, one at a time; a second would take the first one's place.
    """

    site: Site
    load: Load
    watch: Watch
    chance: random.Random
    say: Say
    seen: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    orders: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))

    def one_of(self, service: str) -> Copy:
        """Any process of a service."""
        return self.chance.choice(self.site.copies_of(service))

    @asynccontextmanager
    async def calm(self) -> AsyncIterator[None]:
        """No load, and everything at rest, while the block runs."""
        async with self.load.pause():
            await self.settle()
            yield

    async def settle(self) -> None:
        """Everything must come to rest."""
        left = await settled(self.site, self.load, self.watch, within_s=SETTLED_WITHIN_S)
        if left:
            self.broken += [f"not at rest: {one}" for one in left[:20]]
            raise NotSettled(left[0])


class NotSettled(Exception):
    """What a run cannot go on after."""


async def until(ask: Callable[[], Awaitable[T | None]], what: str, *, within_s: float = SEEN_WITHIN_S) -> T:
    """The first answer that is neither None nor false. Raises NeverSeen."""
    give_up_at = time.monotonic() + within_s
    while not (answer := await ask()):
        if time.monotonic() > give_up_at:
            raise NeverSeen(f"{what}: not within {within_s:.0f} s")
        await asyncio.sleep(LOOK_EVERY_S)
    return answer


@dataclass(frozen=True)
class Report:
    """`order`: what happened, in the groups in which it did; `unseen`: why a class counts as never seen."""

    seed: int
    order: tuple[tuple[str, ...], ...]
    seen: Counter[str]
    unseen: dict[str, str]
    broken: tuple[str, ...]
    recordings: int
    effects: int

    @property
    def good(self) -> bool:
        return not self.unseen and not self.broken

    def in_words(self, logs: Path) -> str:
        """For the end of a run."""
        lines = [f"{number:>7}  {name}" for name, number in sorted(self.seen.items())]
        lines += [f"NEVER SEEN: {name}: {why}" for name, why in self.unseen.items()]
        lines += [f"BROKEN: {one}" for one in dict.fromkeys(self.broken)]
        lines.append(f"seed {self.seed}: {self.recordings} recordings, {self.effects} effects in the cloud")
        if not self.good:
            lines.append(f"order: {'; '.join(', '.join(group) for group in self.order)}")
            lines.append(f"logs: {logs}")
        return "\n".join(lines)
