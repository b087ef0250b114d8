"""Records of an own topic that this very process has published, from rows which know all that they say.

To read them says nothing new, and to find that out costs as much as to announce them. So what they say is remembered
until they come back: then they are heard without being read, or, where nothing waits for that, passed over. All others
are read: those of another process, of a time before this one, and whatever is read again, because a seek means that
the rows are not what they were.
"""

from array import array
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
REMEMBERED = 200_000


class _Span(NamedTuple):
    """Records one behind the other, before `end`: what each says (None: nobody waits for it), and the hash of its key
    and value by which it is known again. So much is kept of an import of which nothing has come back.
    """

    first_offset: int
    end: int
    says: Sequence[Skimmed | None]
    hashes: Sequence[int]


class OwnRecords:
    """By partition, forgotten once they are passed. What a record says is `Skimmed`, or None: nobody waits for it.

    That Kafka has acknowledged a record does not prove that it is there for ever: a log that was cut back, or a topic
    that was made anew, has another at its offset. So what comes counts as ours only if it is, byte for byte.
    """

    def __init__(self) -> None:
        self._spans: dict[TopicPartition, list[_Span]] = defaultdict(list)

    def add(self, published: Published) -> None:
        """Kafka has acknowledged these. Beyond REMEMBERED all are forgotten, that is, read as they come."""
        first, records = published.first_offset, published.records
        if sum(len(one.says) for spans in self._spans.values() for one in spans) >= REMEMBERED:
            self._spans.clear()
        span = _Span(
            first,
            first + len(records),
            [one.says for one in records],
            array("q", [hash((one.key, one.value)) for one in records]),
        )
        self._spans[published.partition].append(span)

    def sort_out(
        self, partition: TopicPartition, records: Sequence[ConsumerRecord]
    ) -> list[tuple[ConsumerRecord, Skimmed | None]]:
        """Those of the partition that somebody waits for, each with what it says if that is known."""
        spans = self._spans.get(partition, ())
        found: list[tuple[ConsumerRecord, Skimmed | None]] = []
        span = None
        for record in records:
            offset = record.offset
            if span is None or not span.first_offset <= offset < span.end:
                # The one that was published last, if Kafka has given an offset twice.
                span = next((one for one in reversed(spans) if one.first_offset <= offset < one.end), None)
            says = None
            if span:
                place = offset - span.first_offset
                if (said := span.says[place]) is None:
                    continue
                if hash((record.key, record.value)) == span.hashes[place]:
                    says = said
            found.append((record, says))
        return found

    def passed(self, ends: Mapping[TopicPartition, int]) -> None:
        """What lies before these offsets was folded."""
        for partition, end in ends.items():
            if partition in self._spans:
                self._spans[partition] = [one for one in self._spans[partition] if one.end > end]

    def forget(self, partition: TopicPartition) -> None:
        """Read all of the partition."""
        self._spans.pop(partition, None)
