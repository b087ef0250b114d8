"""What of an own topic need not be read, as this process has just published it."""

from aiokafka import ConsumerRecord, TopicPartition

from shared.own_records import OwnRecords

HERE, THERE = TopicPartition("facts", 0), TopicPartition("facts", 1)


def _records(*offsets: int) -> list[ConsumerRecord]:
    return [ConsumerRecord("facts", 0, one, 0, 0, b"R1", b"{}", None, 2, 2, ()) for one in offsets]


def _left(own: OwnRecords, partition: TopicPartition = HERE) -> list[int]:
    return [one.offset for one in own.without(partition, _records(*range(3, 11)))]


def test_what_stands_between_own_records_is_read() -> None:
    own = OwnRecords()
    own.add(HERE, range(4, 6))
    own.add(HERE, range(8, 10))

    assert _left(own) == [3, 6, 7, 10]
    assert _left(own, THERE) == [3, 4, 5, 6, 7, 8, 9, 10]


def test_after_a_seek_all_of_the_partition_is_read() -> None:
    own = OwnRecords()
    own.add(HERE, range(4, 6))
    own.add(THERE, range(4, 6))

    own.forget(HERE)

    assert _left(own) == [3, 4, 5, 6, 7, 8, 9, 10]
    assert _left(own, THERE) == [3, 6, 7, 8, 9, 10]


def test_what_was_passed_is_forgotten_and_no_more() -> None:
    own = OwnRecords()
    own.add(HERE, range(4, 6))
    own.add(HERE, range(6, 9))

    own.passed({HERE: 7, THERE: 9})

    assert _left(own) == [3, 4, 5, 9, 10]
