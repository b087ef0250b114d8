"""What applies a batch only when the test lets it."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from shared.batch import Folded
from shared.reading import Incoming
from tests.shared.things import fold_things


@dataclass
class Slow:
    """Applies nothing until it may, if it is to wait for that, and then, if it is to, fails once."""

    fails: bool = False
    waits: bool = True
    first: int = 0
    began: asyncio.Event = field(default_factory=asyncio.Event)
    may_go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def apply(self, batch: Sequence[Incoming[TicketLinked]], connection: AsyncConnection) -> Folded:
        self.first = self.first or len(batch)
        self.began.set()
        if self.waits:
            await self.may_go_on.wait()
        if self.fails:
            self.fails = False
            raise ConnectionResetError
        return await fold_things(batch, connection)
