"""A record as its sender and its broker made it, and the batches in which Kafka keeps them.

aiokafka's reader makes three objects of each header of each record, and its consumer another record of that: it took
longer than to read the event. Here headers stay as they stand until somebody asks (schemas/raw_headers.py).

Source: https://kafka.apache.org/documentation/#recordbatch
"""

import struct
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from aiokafka import TopicPartition, codec
from aiokafka.errors import CorruptRecordException

from schemas.raw_headers import NO_HEADERS, split
from schemas.varint import BITS, MORE, read_unsigned

# In a batch: which version of the format it has, how many records, and where they begin.
_VERSION_AT, _VERSION = 16, 2
_NUMBER = struct.Struct(">i")
_NUMBER_AT = 57
_RECORDS_AT = 61
_DECOMPRESS: dict[int, Callable[[bytes], bytes]] = {
    1: codec.gzip_decode,
    2: codec.snappy_decode,
    3: codec.lz4_decode,
    4: codec.zstd_decode,
}


class Record(NamedTuple):
    """`timestamp` in milliseconds: set by the broker where the topic says LogAppendTime, else by the producer."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: Any
    raw_headers: bytes = NO_HEADERS

    @property
    def headers(self) -> list[tuple[str, bytes | None]]:
        """Names and values; none if these are no headers, which no broker lets in."""
        try:
            return split(self.raw_headers)
        except ValueError:
            return []


class RecordBatch:
    """The records of a batch as it was fetched. They are read whenever they are asked for.

    `batch`: what aiokafka knows of it.
    """

    def __init__(self, batch: Any, content: memoryview, place: TopicPartition) -> None:  # noqa: ANN401  # aiokafka ships no types
        self._batch = batch
        self._content = content
        self._place = place

    def __iter__(self) -> Iterator[Record]:
        topic, partition = self._place
        if self._content[_VERSION_AT] < _VERSION:
            for one in self._batch:
                yield Record(topic, partition, one.offset, one.timestamp, one.key, one.value)
            return
        try:
            yield from self._records()
        except IndexError:
            raise CorruptRecordException("a batch ends within a record") from None

    def _records(self) -> Iterator[Record]:  # noqa: C901, PLR0912  # a call for each number takes as long as all the rest
        # Numbers of one byte are read in place, and those that mostly have two.
        batch, (topic, partition) = self._batch, self._place
        data = self._data()
        new = tuple.__new__  # of a named tuple, what its own makes of names takes twice as long
        first_offset, first_time = batch.base_offset, batch.first_timestamp
        time = batch.max_timestamp if batch.timestamp_type else None
        end = 0
        for _ in range(*_NUMBER.unpack_from(self._content, _NUMBER_AT)):
            at = end
            if (size := data[at]) < MORE:
                at += 1
            elif (more := data[at + 1]) < MORE:
                size, at = size - MORE + (more << BITS), at + 2
            else:
                size, at = read_unsigned(data, at)
            end = at + (size >> 1)
            at += 1  # attributes, of which there are none yet
            if (later := data[at]) < MORE:
                at += 1
            else:
                later, at = read_unsigned(data, at)
            if (place := data[at]) < MORE:
                at += 1
            elif (more := data[at + 1]) < MORE:
                place, at = place - MORE + (more << BITS), at + 2
            else:
                place, at = read_unsigned(data, at)
            if (size := data[at]) < MORE:
                at += 1
            else:
                size, at = read_unsigned(data, at)
            key = None if size & 1 else data[at : (at := at + (size >> 1))]
            if (size := data[at]) < MORE:
                at += 1
            elif (more := data[at + 1]) < MORE:
                size, at = size - MORE + (more << BITS), at + 2
            else:
                size, at = read_unsigned(data, at)
            value = None if size & 1 else data[at : (at := at + (size >> 1))]
            if not at < end <= len(data):
                raise CorruptRecordException("a record ends elsewhere than it says")
            appended = first_time + (later >> 1 ^ -(later & 1)) if time is None else time
            yield new(Record, (topic, partition, first_offset + (place >> 1), appended, key, value, data[at:end]))
        if end != len(data):
            raise CorruptRecordException("a batch goes on behind its last record")

    def _data(self) -> bytes:
        data = bytes(self._content[_RECORDS_AT:])
        if not self._batch.compression_type:
            return data
        try:
            return _DECOMPRESS[self._batch.compression_type](data)
        except Exception as error:
            # Each library raises errors of its own, which would end the task that polls.
            raise CorruptRecordException(f"a batch cannot be decompressed: {type(error).__name__}") from error
