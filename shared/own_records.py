"""Records of an own topic that this very process has published, from rows which know all that they say.

To read them says nothing new, and to find that out costs as much as to announce them. So what they say is remembered
until they come back: then they are heard without being read, or, where nothing waits for that, passed over. All others
are read: those of another process, of a time before this one, and whatever is read again, because a seek means that
the rows are not what they were.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from aiokafka import ConsumerRecord, TopicPartition

from shared.producer import Published


class Skimmed(NamedTuple):
    """What says whether a fact is news: its key, its order among the facts of that key, and what tells it apart from
    others of the same order (empty if nothing does).
    """

    key: str
    order: tuple[int, ...]
    told_apart_by: str


# What is published again and again while nobody reads the topic would fill the memory.
REMEMBERED = 100_000


class _Said(NamedTuple):
    """What a record says; `content`: by which it is known again."""

    says: Skimmed
    content: int


class _Span(NamedTuple):
    """Records one behind the other. None: nobody waits for that one."""

    first_offset: int
    said: Sequence[_Said | None]


class OwnRecords:
    """By partition, forgotten once they are passed. What a record says is `Skimmed`, or None: nobody waits for it.

    That Kafka has acknowledged a record does not prove that it is there for ever: a log that was cut back, or a topic
    that was made anew, has another at its offset. So what comes counts as ours only if it is, byte for byte.
    """

    def __init__(self) -> None:
        self._spans: dict[TopicPartition, list[_Span]] = defaultdict(list)

    def add(self, published: Published) -> None:
        """Kafka has acknowledged these. Beyond REMEMBERED all are forgotten, that is, read as they come."""
        if sum(len(one.said) for spans in self._spans.values() for one in spans) >= REMEMBERED:
            self._spans.clear()
        said = [_Said(one.says, hash(one.value)) if one.says else None for one in published.records]
        self._spans[published.partition].append(_Span(published.first_offset, said))

    def sort_out(
        self, partition: TopicPartition, records: Sequence[ConsumerRecord]
    ) -> list[tuple[ConsumerRecord, Skimmed | None]]:
        """Those of the partition that somebody waits for, each with what it says if that is known."""
        spans = self._spans.get(partition, ())
        found: list[tuple[ConsumerRecord, Skimmed | None]] = []
        for record in records:
            for first, said in spans:
                if not 0 <= (place := record.offset - first) < len(said):
                    continue
                if (one := said[place]) is None:
                    break
                if hash(record.value) == one.content and record.key == one.says.key.encode():
                    found.append((record, one.says))
                    break
            else:
                found.append((record, None))
        return found

    def passed(self, ends: Mapping[TopicPartition, int]) -> None:
        """What lies before these offsets was folded."""
        for partition, end in ends.items():
            if partition in self._spans:
                waiting = [one for one in self._spans[partition] if one.first_offset + len(one.said) > end]
                self._spans[partition] = waiting

    def forget(self, partition: TopicPartition) -> None:
        """Read all of the partition."""
        self._spans.pop(partition, None)
