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


class OwnRecords:
    """By partition, forgotten once they are passed. What a record says is `Skimmed`, or None: nobody waits for it."""

    def __init__(self) -> None:
        self._published: dict[TopicPartition, list[Published]] = defaultdict(list)

    def add(self, published: Published) -> None:
        """Kafka has acknowledged these. Beyond REMEMBERED all are forgotten, that is, read as they come."""
        if sum(len(one.says) for spans in self._published.values() for one in spans) >= REMEMBERED:
            self._published.clear()
        self._published[published.partition].append(published)

    def sort_out(
        self, partition: TopicPartition, records: Sequence[ConsumerRecord]
    ) -> list[tuple[ConsumerRecord, Skimmed | None]]:
        """Those of the partition that somebody waits for, each with what it says if that is known."""
        spans = [(one.first_offset, len(one.says), one.says) for one in self._published.get(partition, ())]
        found: list[tuple[ConsumerRecord, Skimmed | None]] = []
        for record in records:
            for first, number, says in spans:
                if 0 <= (place := record.offset - first) < number:
                    if says[place] is not None:
                        found.append((record, says[place]))
                    break
            else:
                found.append((record, None))
        return found

    def passed(self, ends: Mapping[TopicPartition, int]) -> None:
        """What lies before these offsets was folded."""
        for partition, end in ends.items():
            if partition in self._published:
                waiting = [one for one in self._published[partition] if one.first_offset + len(one.says) > end]
                self._published[partition] = waiting

    def forget(self, partition: TopicPartition) -> None:
        """Read all of the partition."""
        self._published.pop(partition, None)
