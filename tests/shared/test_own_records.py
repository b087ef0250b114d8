"""What of an own topic need not be read, as this process has just published it."""

from aiokafka import ConsumerRecord, TopicPartition

from shared.own_records import REMEMBERED, OwnRecords, Skimmed
from shared.producer import Outgoing, Published

HERE, THERE = TopicPartition("facts", 0), TopicPartition("facts", 1)


def _records(*offsets: int) -> list[ConsumerRecord]:
    return [ConsumerRecord("facts", 0, one, 0, 0, b"R1", b"{}", None, 2, 2, ()) for one in offsets]


def _outgoing(says: Skimmed | None = None, value: bytes = b"{}") -> Outgoing:
    return Outgoing("facts", says.key.encode() if says else b"R1", value, (), says)


def _published(partition: TopicPartition, offsets: range) -> Published:
    return Published(partition, offsets.start, [_outgoing()] * len(offsets))


def _left(own: OwnRecords, partition: TopicPartition = HERE) -> list[int]:
    return [record.offset for record, _ in own.sort_out(partition, _records(*range(3, 11)))]


def test_what_stands_between_own_records_is_read() -> None:
    own = OwnRecords()
    own.add(_published(HERE, range(4, 6)))
    own.add(_published(HERE, range(8, 10)))

    assert _left(own) == [3, 6, 7, 10]
    assert _left(own, THERE) == [3, 4, 5, 6, 7, 8, 9, 10]


def test_what_somebody_waits_for_is_heard_without_being_read() -> None:
    own = OwnRecords()
    says = [Skimmed("R1", (1,), "Q"), Skimmed("R1", (7,), "Q")]
    own.add(Published(HERE, 4, [_outgoing(says[0]), _outgoing(says[1]), _outgoing()]))

    assert [(one.offset, said) for one, said in own.sort_out(HERE, _records(3, 4, 5, 6, 7))] == [
        (3, None),
        (4, says[0]),
        (5, says[1]),
        (7, None),
    ]


def test_another_record_at_the_offset_of_an_own_one_is_read() -> None:
    """Kafka has lost what it had acknowledged, or the topic was made anew."""
    one, other = Skimmed("R1", (1,), "Q"), Skimmed("R2", (1,), "Q")
    own = OwnRecords()
    own.add(Published(HERE, 4, [_outgoing(one, b"lost"), _outgoing(other)]))
    own.add(Published(HERE, 4, [_outgoing(one)]))

    assert [(place.offset, said) for place, said in own.sort_out(HERE, _records(4, 5))] == [(4, one), (5, None)]


def test_after_a_seek_all_of_the_partition_is_read() -> None:
    own = OwnRecords()
    own.add(_published(HERE, range(4, 6)))
    own.add(_published(THERE, range(4, 6)))

    own.forget(HERE)

    assert _left(own) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert _left(own, THERE) == [3, 6, 7, 8, 9, 10]


def test_of_what_nobody_reads_not_all_is_remembered() -> None:
    own = OwnRecords()
    own.add(_published(HERE, range(REMEMBERED)))

    own.add(_published(THERE, range(4, 6)))

    assert _left(own) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert _left(own, THERE) == [3, 6, 7, 8, 9, 10]


def test_what_was_passed_is_forgotten_and_no_more() -> None:
    own = OwnRecords()
    own.add(_published(HERE, range(4, 6)))
    own.add(_published(HERE, range(6, 9)))

    own.passed({HERE: 7, THERE: 9})

    assert _left(own) == [3, 4, 5, 9, 10]
