"""The fetcher goes over batches as aiokafka's does, but never stops at one of which nothing is left."""

from aiokafka import TopicPartition
from aiokafka.consumer import fetcher

from shared import fetched
from tests.shared.raw_records import Raw, batch_of

PLACE = TopicPartition("facts", 3)
TRANSACTIONAL_CONTROL = 0x30


def _read(*batches: bytes) -> tuple[list[tuple[int, bytes | None]], int]:
    """Offsets and keys, and where to fetch next."""
    fetched.read_batches_our_way()
    found = fetcher.MemoryRecords(b"".join(batches))
    records = fetcher.PartitionRecords(PLACE, found, [], 0, None, None, False, fetcher.READ_COMMITTED)  # noqa: FBT003  # theirs
    return [(one.offset, one.key) for one in records], records.next_fetch_offset


def _at(offset: int, batch: bytes) -> bytes:
    return offset.to_bytes(8, "big") + batch[8:]


def test_batches_are_read_one_behind_the_other() -> None:
    first, second = batch_of([Raw(b"R1", b"{}"), Raw(b"R2", b"{}")]), batch_of([Raw(b"R3", b"{}")])

    assert _read(first, _at(7, second)) == ([(0, b"R1"), (1, b"R2"), (7, b"R3")], 8)


def test_a_control_batch_of_which_nothing_is_left_is_passed() -> None:
    emptied = bytearray(batch_of([]))
    emptied[22] |= TRANSACTIONAL_CONTROL
    emptied[43:51] = (9).to_bytes(8, "big")  # a producer's id

    assert _read(bytes(emptied), _at(1, batch_of([Raw(b"R1", b"{}")]))) == ([(1, b"R1")], 2)
