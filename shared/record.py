"""A record as its sender and its broker made it, and the batches in which Kafka keeps them.

aiokafka's reader makes three objects of each header of each record, and its consumer another record of that: it took
longer than to read the event. Here headers stay as they stand until somebody asks (schemas/raw_headers.py).

Source: https://kafka.apache.org/documentation/#recordbatch
"""

import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka import TopicPartition, codec
from aiokafka.errors import CorruptRecordException, UnsupportedCodecError
from cramjam import DecompressionError

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
# What reading a damaged batch raises. Anything but Kafka's own errors would end the task that polls.
_DAMAGED = (IndexError, struct.error, OSError, EOFError, zlib.error, DecompressionError)


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
        """Names and values. What are no headers, which no broker lets in, stands under a name that is no good either,
        so that nothing is lost and a redrive refuses it again.
        """
        try:
            return split(self.raw_headers)
        except ValueError:
            return [("ce_", self.raw_headers)]


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """The records of a batch: that part of what was `fetched`. They are read whenever they are asked for.

    `known`: what aiokafka knows of the batch.
    """

    known: Any
    fetched: bytes
    part: slice
    place: TopicPartition

    @property
    def content(self) -> memoryview:
        """The batch as Kafka has it."""
        return memoryview(self.fetched)[self.part]

    @property
    def number(self) -> int:
        """How many records it has; not of the old format."""
        number: int = _NUMBER.unpack_from(self.content, _NUMBER_AT)[0]
        return number

    def __iter__(self) -> Iterator[Record]:
        is_old = self.content[_VERSION_AT] < _VERSION
        try:
            yield from self._old_records() if is_old else self._records()
        except _DAMAGED as error:
            raise CorruptRecordException(f"a batch cannot be read: {type(error).__name__}") from error

    def _old_records(self) -> Iterator[Record]:
        """Of a segment from before Kafka had headers."""
        topic, partition = self.place
        for one in self.known:
            yield Record(topic, partition, one.offset, one.timestamp, one.key, one.value)

    def _records(self) -> Iterator[Record]:  # noqa: C901, PLR0912  # a call for each number takes as long as all the rest
        # Numbers of one byte are read in place, and those that mostly have two. The lowest bit is a number's sign.
        new = tuple.__new__  # a named tuple's own, which knows the names, takes twice as long
        topic, partition = self.place
        first_offset, first_time = self.known.base_offset, self.known.first_timestamp
        batch_time = self.known.max_timestamp if self.known.timestamp_type else None
        data, end, batch_end = self._data()
        for _ in range(self.number):
            if (size := data[end]) < MORE:
                at = end + 1
            elif (high := data[end + 1]) < MORE:
                size, at = size - MORE + (high << BITS), end + 2
            else:
                size, at = read_unsigned(data, end)
            end = at + (size >> 1)
            at += 1  # attributes, of which there are none yet
            if (later := data[at]) < MORE:
                at += 1
            else:
                later, at = read_unsigned(data, at)
            if (further := data[at]) < MORE:
                at += 1
            elif (high := data[at + 1]) < MORE:
                further, at = further - MORE + (high << BITS), at + 2
            else:
                further, at = read_unsigned(data, at)
            if (length := data[at]) < MORE:
                at += 1
            else:
                length, at = read_unsigned(data, at)
            key_end = at if length & 1 else at + (length >> 1)
            key = None if length & 1 else data[at:key_end]
            if (length := data[key_end]) < MORE:
                at = key_end + 1
            elif (high := data[key_end + 1]) < MORE:
                length, at = length - MORE + (high << BITS), key_end + 2
            else:
                length, at = read_unsigned(data, key_end)
            value_end = at if length & 1 else at + (length >> 1)
            value = None if length & 1 else data[at:value_end]
            if not value_end < end <= batch_end or (size | further) & 1:
                raise CorruptRecordException("a record is not what it says")
            time = first_time + (later >> 1 ^ -(later & 1)) if batch_time is None else batch_time
            yield new(Record, (topic, partition, first_offset + (further >> 1), time, key, value, data[value_end:end]))
        if end != batch_end:
            raise CorruptRecordException("a batch goes on behind its last record")

    def _data(self) -> tuple[bytes, int, int]:
        """The records, decompressed, and where they begin and end."""
        begin = self.part.start + _RECORDS_AT
        if not self.known.compression_type or not self.number:
            return self.fetched, begin, self.part.stop
        if self.known.compression_type not in _DECOMPRESS:
            raise UnsupportedCodecError(f"a batch is compressed in a way of the future: {self.known.compression_type}")
        data = _DECOMPRESS[self.known.compression_type](self.fetched[begin : self.part.stop])
        return data, 0, len(data)
