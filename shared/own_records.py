"""Records of an own topic that this very process has published, from rows which know all that they say.

To hear them says nothing new, and to find that out costs as much as to announce them; so they are passed over where
they stand on the topic. All others are read: those of another process, of a time before this one, and whatever is read
again, because a seek means that the rows are not what they were.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from aiokafka import ConsumerRecord, TopicPartition


class OwnRecords:
    """Offsets by partition, forgotten once they are passed."""

    def __init__(self) -> None:
        self._spans: dict[TopicPartition, list[range]] = defaultdict(list)

    def add(self, partition: TopicPartition, offsets: range) -> None:
        """Kafka has acknowledged these."""
        self._spans[partition].append(offsets)

    def without(self, partition: TopicPartition, records: Sequence[ConsumerRecord]) -> Sequence[ConsumerRecord]:
        """Those of the partition that have to be read."""
        spans = self._spans.get(partition)
        return [one for one in records if not any(one.offset in span for span in spans)] if spans else records

    def passed(self, ends: Mapping[TopicPartition, int]) -> None:
        """What lies before these offsets was folded."""
        for partition, end in ends.items():
            if partition in self._spans:
                self._spans[partition] = [span for span in self._spans[partition] if span.stop > end]

    def forget(self, partition: TopicPartition) -> None:
        """Read all of the partition."""
        self._spans.pop(partition, None)
