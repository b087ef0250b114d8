"""Reads a batch of records as far as that goes without the rows: while one batch is stored, the next is read.

One record is looked at at a time, so a poison value or header costs that record alone. Of most facts that are read
again, key and order say that they are known: where the rows are asked that first, no more than these is read here.
"""

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel

from schemas.envelope import decode, parse, skim
from schemas.topics import Topic
from schemas.undecodable import Undecodable
from shared.dead_letters import DeadLetter
from shared.own_records import OwnBatch, Skimmed, in_full, number_of
from shared.record import Record

E = TypeVar("E", bound=BaseModel)

# While a batch is stored, others that share the event loop wait no longer than these take: of links, less than a
# millisecond.
READ_AT_ONCE = 25


class NotAsPublished(Exception):
    """The rows do not know all that an own batch says: it has to be read."""


class Incoming(NamedTuple, Generic[E]):
    """One event as it came, with the record that it came in."""

    event: E
    record: Record

    @property
    def appended_at(self) -> datetime:
        """The record's time, aware UTC: set by the broker where the topic says LogAppendTime, else by the producer."""
        return datetime.fromtimestamp(self.record.timestamp / 1000, UTC)


@dataclass(frozen=True)
class Read:
    """A batch of `number` records. `waiting`: those with a value, in their order, and in place of own batches what
    they say, as far as anybody waits for it.

    Either each was read, or no more than `skimmed`: by place, those of which key and order can be had alone.
    """

    topic: Topic
    number: int
    empty: int
    waiting: Sequence[Record | Skimmed]
    skimmed: Mapping[int, Skimmed] | None
    events: Sequence[Incoming[Any] | DeadLetter]

    def known_by_key_and_order(self) -> bool:
        """Whether the rows can be asked which of them are news."""
        return bool(self.waiting) and self.skimmed is not None and len(self.skimmed) == len(self.waiting)


async def read(topic: Topic, records: Sequence[Record], *, skimmed: bool) -> Read:
    """All of each, or, `skimmed`, key and order."""
    waiting = list(_waiting(records if skimmed else in_full(records)))
    found: dict[int, Skimmed] = {}
    events: list[Incoming[Any] | DeadLetter] = []
    for place, one in enumerate(waiting):
        if place % READ_AT_ONCE == READ_AT_ONCE - 1:
            await asyncio.sleep(0)
        if not skimmed:
            events.append(_read(topic, one))
        elif isinstance(one, Skimmed):
            found[place] = one
        elif key_and_order := skim(topic, key=one.key, value=one.value, headers=one.raw_headers):
            found[place] = Skimmed(*key_and_order)
    empty = sum(record.value is None for record in records)
    return Read(topic, number_of(records), empty, waiting, found if skimmed else None, events)


def read_rest(batch: Read, known: set[int]) -> Iterator[Incoming[Any] | DeadLetter]:
    """Those of a skimmed batch that are not at these places. Raises NotAsPublished."""
    if batch.skimmed is None:
        yield from batch.events
        return
    for place, one in enumerate(batch.waiting):
        if place not in known:
            yield _read(batch.topic, one, skimmed=place in batch.skimmed)


def _waiting(records: Iterable[Record]) -> Iterator[Record | Skimmed]:
    """Forgetting a recording is not this version's business, and never an error."""
    for record in records:
        if isinstance(record.value, OwnBatch):
            yield from record.value.says
        elif record.value is not None:
            yield record


def _read(topic: Topic, record: Record | Skimmed, *, skimmed: bool = False) -> Incoming[Any] | DeadLetter:
    if isinstance(record, Skimmed):
        raise NotAsPublished
    try:
        if topic.event and skimmed:
            return Incoming(parse(topic.event, record.value), record)
        return Incoming(decode(topic, key=record.key, value=record.value, headers=record.raw_headers), record)
    except Undecodable as error:
        return DeadLetter(record, error.reason, error.error)
