"""What becomes of a batch of records inside its transaction: each is applied, counted and skipped, or a dead letter.

In: what was read of it (shared/reading.py); where that is no more than key and order, the rows say which facts are
known, and the others are read here. Storing is done for all of them at once; if the database refuses the values, the
batch is halved until the record that it refuses stands alone.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import Topic
from shared import dead_letters, metrics
from shared.database import broken_rule, is_refused, sqlstate
from shared.dead_letters import DeadLetter
from shared.own_records import Skimmed
from shared.reading import Incoming, Read, read_rest


@dataclass(frozen=True)
class Folded:
    """What a service made of a batch: how many facts were newer, which loops have work now, what it had to refuse.

    `put_aside`: how many of the refused were no dead letters before; `empty`: how many records had no value.
    """

    newer: int = 0
    wake: tuple[str, ...] = ()
    refused: tuple[DeadLetter, ...] = ()
    put_aside: int = 0
    empty: int = 0

    def __add__(self, other: "Folded") -> "Folded":
        return Folded(self.newer + other.newer, (*self.wake, *other.wake), (*self.refused, *other.refused))


Apply = Callable[[Sequence[Incoming[Any]], AsyncConnection], Awaitable[Folded]]


# The places of those that the rows do not know yet. What is known may be noted as heard, if no row of a link is locked.
News = Callable[[Sequence[Skimmed], AsyncConnection], Awaitable[Collection[int]]]


async def fold_records(
    connection: AsyncConnection, batch: Read, *, apply: Apply, news: News | None = None, halve: bool = True
) -> Folded:
    """Apply what was read in its order, what is no news left out if `news` can tell of each.

    Raises NotAsPublished if own batches among them have to be read (see `in_full`), and whatever is neither the
    records' nor the values' fault. With `halve` off also what is the values' (`is_refused`): the transaction must be
    rolled back, and the whole be done again with it. A savepoint takes two statements, which hardly any batch needs.
    """
    # To be asked of all or of none: what is known is noted as heard then, under locks; those of what has to be applied
    # beside it, because only `decode` can read it, come in an order of their own.
    known = await _known(connection, batch, news) if news and batch.known_by_key_and_order() else set()
    parsed: list[Incoming[Any]] = []
    letters: list[DeadLetter] = []
    for one in read_rest(batch, known):
        if isinstance(one, DeadLetter):
            letters.append(one)
        else:
            parsed.append(one)
    folded = Folded()
    if parsed:
        folded = await (_store(connection, parsed, apply) if halve else apply(parsed, connection))
    refused = (*letters, *folded.refused)
    return Folded(
        folded.newer,
        (*folded.wake, *(("announce_dead_letters",) if refused else ())),
        refused,
        put_aside=await dead_letters.keep(connection, refused) if refused else 0,
        empty=batch.empty,
    )


async def _known(connection: AsyncConnection, batch: Read, news: News) -> set[int]:
    """The places of those that are no news."""
    skimmed = list((batch.skimmed or {}).values())
    return set(range(len(skimmed))).difference(await news(skimmed, connection))


async def _store(connection: AsyncConnection, incoming: Sequence[Incoming[Any]], apply: Apply) -> Folded:
    try:
        async with connection.begin_nested():
            return await apply(incoming, connection)
    except DBAPIError as error:
        if not is_refused(error):
            raise
        if len(incoming) == 1:
            why = f"PostgreSQL refuses the values: {broken_rule(error)} ({sqlstate(error)})"
            return Folded(refused=(DeadLetter(incoming[0].record, "unstorable", why),))
    middle = len(incoming) // 2
    first = await _store(connection, incoming[:middle], apply)
    return first + await _store(connection, incoming[middle:], apply)


def count(topic: Topic, folded: Folded, *, read: int) -> None:
    """Count what became of `read` records, once they are stored. A dead letter that is read again is `unchanged`."""
    unchanged = max(read - folded.newer - folded.put_aside - folded.empty, 0)
    results = {"newer": folded.newer, "bad": folded.put_aside, "empty": folded.empty, "unchanged": unchanged}
    for result, number in results.items():
        metrics.FOLDED.labels(topic.name, result).inc(number)
