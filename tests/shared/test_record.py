"""Records are read from a batch as aiokafka's own reader reads them, and a damaged batch is said to be one."""

import struct
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchBuilderPy, _DefaultRecordBatchPy
from aiokafka.record.legacy_records import LegacyRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.events import TicketLinked
from schemas.headers import media_type_of
from schemas.raw_headers import joined
from schemas.undecodable import Undecodable
from shared.record import Record, RecordBatch
from tests.shared.raw_records import GZIP, Raw, batch_of

PLACE = TopicPartition("facts", 3)
LOG_APPEND_TIME = 0x08

Read = tuple[int, int, bytes | None, bytes | None, Sequence[tuple[str, bytes | None]]]
_lengths = st.sampled_from([0, 1, 63, 64, 200, 8191, 8192, 20_000])
_bytes = st.none() | st.binary(max_size=20) | _lengths.map(bytes)
_headers = st.lists(st.tuples(st.text(max_size=80), st.none() | st.binary(max_size=80)), max_size=10)
_records = st.lists(st.tuples(st.integers(0, 20_000), st.integers(0, 10**13), _bytes, _bytes, _headers), max_size=5)


def _batch(records: Sequence[Read], *, compression: int = 0) -> bytes:
    """The offset of each is that of the one before and some more, as in a topic that was compacted."""
    builder = _DefaultRecordBatchBuilderPy(2, compression, 0, -1, -1, -1, 10**7)
    offset = 0
    for more, timestamp, key, value, headers in records:
        assert builder.append(offset, timestamp=timestamp, key=key, value=value, headers=list(headers))
        offset += 1 + more
    return bytes(builder.build())


def _as_we_read(batch: bytes) -> list[Record]:
    return list(_among_others(DefaultRecordBatch(batch), batch))


def _among_others(known: Any, batch: bytes) -> RecordBatch:  # noqa: ANN401  # what aiokafka knows has no type
    """As it may stand in what was fetched."""
    return RecordBatch(known, b"before" + batch + b"behind", slice(6, 6 + len(batch)), PLACE)


def _as_aiokafka_reads(batch: bytes) -> list[Record]:
    return [
        Record("facts", 3, one.offset, one.timestamp, one.key, one.value, joined(one.headers))
        for one in _DefaultRecordBatchPy(batch)
    ]


@given(_records, st.integers(0, 4))
@example([(0, 0, None, None, [])], 0)
def test_records_are_those_that_aiokafka_reads(records: Sequence[Read], compression: int) -> None:
    batch = _batch(records, compression=compression)

    found = _as_we_read(batch)

    assert found == _as_aiokafka_reads(batch)
    assert [one.headers for one in found] == [list(headers) for *_, headers in records]


def test_a_batch_is_read_as_often_as_it_is_asked_for() -> None:
    content = batch_of([Raw(b"R1", b"1"), Raw(b"R2", b"2")])
    batch = _among_others(DefaultRecordBatch(content), content)

    assert list(batch) == list(batch)
    assert [one.key for one in batch] == [b"R1", b"R2"]


def test_where_the_broker_sets_the_time_all_of_a_batch_have_that() -> None:
    content = bytearray(_batch([(0, 1_000, b"R1", b"{}", []), (0, 2_000, b"R2", b"{}", [])]))
    content[22] |= LOG_APPEND_TIME
    content[35:43] = struct.pack(">q", 9_000)

    assert [one.timestamp for one in _as_we_read(bytes(content))] == [9_000, 9_000]


def test_what_a_record_says_of_itself_before_its_time_is_passed_over() -> None:
    """Kafka does not look at it, and aiokafka takes this for the first half of a longer number."""
    content = bytearray(batch_of([Raw(b"R1", b"{}")]))
    content[62] = 0x80

    assert [(one.key, one.value) for one in _as_we_read(bytes(content))] == [(b"R1", b"{}")]


def test_a_key_may_be_less_than_null() -> None:
    """Kafka takes any length below 0 for it."""
    content = batch_of([Raw(b"R1", b"{}")]).replace(b"\x14\0\0\0\x04R1", b"\x10\0\0\0\x03")

    assert [(one.key, one.value) for one in _as_we_read(content)] == [(None, b"{}")]


def test_records_in_the_format_of_old_kafkas_have_no_headers() -> None:
    builder = LegacyRecordBatchBuilder(magic=1, compression_type=0, batch_size=1_000)
    builder.append(7, timestamp=1_000, key=b"R1", value=b"{}")
    content = bytes(builder.build())

    found = list(_among_others(MemoryRecords(content).next_batch(), content))

    assert found == [Record("facts", 3, 7, 1_000, b"R1", b"{}")]
    assert found[0].headers == []


def _cut(batch: bytes) -> bytes:
    return batch[:-1]


def _longer(batch: bytes) -> bytes:
    return batch + b"\0"


def _record_that_ends_early(batch: bytes) -> bytes:
    return batch[:61] + bytes([batch[61] - 2]) + batch[62:]


def _no_number_of_headers(batch: bytes) -> bytes:
    """Of the last record, which is one byte shorter then."""
    assert batch[-11:] == b"\x14\0\0\x02\x04R2\x04{}\0"
    return batch[:-11] + b"\x12" + batch[-10:-1]


def _offset_before_the_batch(batch: bytes) -> bytes:
    return batch[:64] + b"\x01" + batch[65:]


def _less_than_nothing(batch: bytes) -> bytes:
    return batch[:61] + bytes([batch[61] | 1]) + batch[62:]


def _number_without_an_end(batch: bytes) -> bytes:
    return batch[:61] + b"\xff" * 20


def _shorter_than_any_batch(batch: bytes) -> bytes:
    return batch[:59]


def _value_beyond_its_record(batch: bytes) -> bytes:
    return batch.replace(b"\x04{}", b"\x40{}")


@pytest.mark.parametrize(
    "damage",
    [
        _cut,
        _longer,
        _less_than_nothing,
        _number_without_an_end,
        _no_number_of_headers,
        _offset_before_the_batch,
        _record_that_ends_early,
        _shorter_than_any_batch,
        _value_beyond_its_record,
    ],
)
def test_a_damaged_batch_is_said_to_be_one(damage: Callable[[bytes], bytes]) -> None:
    batch = batch_of([Raw(b"R1", b"{}"), Raw(b"R2", b"{}")])

    with pytest.raises(CorruptRecordException):
        list(_among_others(DefaultRecordBatch(batch), damage(batch)))


def test_what_cannot_be_decompressed_is_a_damaged_batch() -> None:
    with pytest.raises(CorruptRecordException, match="BadGzipFile"):
        _as_we_read(batch_of([Raw(b"R1", b" " * 500)], compression=GZIP) + b"more")


def test_a_compression_that_nobody_knows_is_told() -> None:
    content = bytearray(batch_of([Raw(b"R1", b"{}")]))
    content[22] |= 5

    with pytest.raises(UnsupportedCodecError):
        _as_we_read(bytes(content))


@pytest.mark.parametrize("compression", range(5))
def test_a_batch_may_have_lost_all_of_its_records(compression: int) -> None:
    """They were compacted away; what is left says where to go on."""
    content = bytearray(batch_of([])[:61] + bytes(0))
    content[22] |= compression

    assert _as_we_read(bytes(content)) == []


def test_what_are_no_headers_is_kept_and_refused() -> None:
    batch = batch_of([Raw(b"R1", b"{}")])[:-1] + b"\x01"

    [found] = _as_we_read(batch)

    assert found.headers == [("ce_", b"\x01")]
    for raw in (found.raw_headers, joined(found.headers)):
        with pytest.raises(Undecodable):
            media_type_of(raw, TicketLinked)


@given(st.integers(61, 61 + 150), st.integers(0, 255))
def test_whatever_stands_in_a_batch_it_is_read_or_damaged(place: int, value: int) -> None:
    batch = bytearray(_batch([(0, 1_000, b"R1", b"{}" * 30, [("ce_id", b"1"), ("x", None)])] * 2))
    batch[min(place, len(batch) - 1)] = value

    try:
        found = _as_we_read(bytes(batch))
    except CorruptRecordException:
        return
    assert len(found) == 2
    assert all(isinstance(one.headers, list) for one in found)
