"""What of an own topic need not be read, as this process has just published it."""

from aiokafka import TopicPartition

from shared.own_records import REMEMBERED, OwnBatch, OwnRecords, Skimmed
from shared.producer import Outgoing, Published
from shared.record import Record

HERE, THERE = TopicPartition("facts", 0), TopicPartition("facts", 1)
UNREAD = Record("facts", 0, 4, 0, b"R1", b"{}")
ONE, OTHER = Skimmed("R1", (1,), "Q"), Skimmed("R2", (7,), "Q")


def _batch(*, offset: int, checksum: bytes = b"CRC1", written: bytes = b"records") -> memoryview:
    """As Kafka has it: 17 bytes of its own, which begin with where it is, then what its publisher has written."""
    return memoryview(offset.to_bytes(8, "big") + bytes(9) + checksum + written)


def _published(
    batch: memoryview, *says: Skimmed | None, partition: TopicPartition = HERE, offset: int = 4
) -> Published:
    return Published(partition, offset, [Outgoing("facts", b"R1", b"{}", (), one) for one in says], batch)


def test_a_batch_that_comes_as_it_was_published_is_heard_without_being_read() -> None:
    own = OwnRecords()
    own.add(_published(_batch(offset=0), ONE, None, OTHER))

    found = own.take(_batch(offset=4), [UNREAD])

    assert found == OwnBatch(3, [ONE, OTHER], [UNREAD])


def test_what_comes_again_is_read() -> None:
    own = OwnRecords()
    own.add(_published(_batch(offset=0), ONE))

    assert own.take(_batch(offset=4), []) is not None
    assert own.take(_batch(offset=4), []) is None


def test_another_batch_with_the_checksum_of_an_own_one_is_read() -> None:
    """Kafka has lost what it had acknowledged, or the topic was made anew."""
    own = OwnRecords()
    own.add(_published(_batch(offset=0), ONE))

    assert own.take(_batch(offset=4, written=b"others!"), []) is None
    assert own.take(_batch(offset=4, checksum=b"CRC2"), []) is None
    assert own.take(_batch(offset=4), []) is not None


def test_after_a_seek_all_of_the_partition_is_read() -> None:
    here, there = _batch(offset=0, checksum=b"HERE"), _batch(offset=0, checksum=b"THER")
    own = OwnRecords()
    own.add(_published(here, ONE))
    own.add(_published(there, ONE, partition=THERE))

    own.forget(HERE)

    assert own.take(here, []) is None
    assert own.take(there, []) is not None


def test_of_what_nobody_reads_not_all_is_remembered() -> None:
    one, other = _batch(offset=0, checksum=b"ONE1"), _batch(offset=0, checksum=b"TWO2")
    own = OwnRecords()
    own.add(_published(one, *[None] * REMEMBERED))

    own.add(_published(other, ONE))

    assert own.take(one, []) is None
    assert own.take(other, []) is not None


def test_what_was_passed_is_forgotten_and_no_more() -> None:
    one, other = _batch(offset=0, checksum=b"ONE1"), _batch(offset=0, checksum=b"TWO2")
    own = OwnRecords()
    own.add(_published(one, ONE, ONE, offset=4))
    own.add(_published(other, ONE, ONE, offset=6))

    own.passed({HERE: 6, THERE: 9})

    assert own.take(one, []) is None
    assert own.take(other, []) is not None
