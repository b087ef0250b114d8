"""Lets aiokafka read records whose header names are not UTF-8.

Kafka takes any bytes as a header's name, aiokafka 0.14 decodes them strictly: one such record, from a producer in
another language, would end every fetch there and hold up its partition for ever. Here its bytes become lone
surrogates (`surrogateescape`), which no name that means anything has, so the record is judged like any other. aiokafka
has no hook for this, so one name in its fetcher is replaced; its version is pinned and tests read such records from
genuine Kafka.
"""

import struct
from collections.abc import Iterator
from typing import Any

from aiokafka.consumer import fetcher
from aiokafka.record.default_records import _DefaultRecordBatchPy
from aiokafka.record.memory_records import MemoryRecords

# Where each batch begins: its first offset, then the length of what follows.
_BATCH_START = struct.Struct(">qi")


def read_any_header_name() -> None:
    """From now on, for every consumer in this process. Once is enough, twice is harmless."""
    fetcher.MemoryRecords = _Records


def as_bytes(name: str) -> bytes:
    """A header's name as it was sent."""
    return name.encode("utf-8", "surrogateescape")


def as_name(name: bytes) -> str:
    """The other way round: as aiokafka gives it."""
    return name.decode("utf-8", "surrogateescape")


class _Records:
    """The batches that were fetched from one partition, as the fetcher uses them."""

    def __init__(self, fetched: bytes) -> None:
        self._fetched = fetched
        self._records = MemoryRecords(fetched)
        self.has_next = self._records.has_next
        self.size_in_bytes = self._records.size_in_bytes

    def next_batch(self) -> "_Batch":
        return _Batch(self._records.next_batch(), self._fetched)


class _Batch:
    """One batch. It is read again, by aiokafka's slower reader, only if the fast one stumbles over a name."""

    def __init__(self, batch: Any, fetched: bytes) -> None:  # noqa: ANN401  # aiokafka ships no types
        self._batch = batch
        self._fetched = fetched

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._batch, name)

    def __next__(self) -> Any:  # noqa: ANN401
        return next(self._batch)

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._batch
        except UnicodeDecodeError:
            # The fetcher passes over the records that it has had already.
            yield from _with_any_names(_bytes_of(self._fetched, self._batch.base_offset))


class _AnyText(bytearray):
    """Bytes whose slices become text whatever they hold."""

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401
        part = super().__getitem__(place)
        return _AnyText(part) if isinstance(place, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)


def _with_any_names(batch: bytes) -> Iterator[Any]:
    reader: Any = iter(_DefaultRecordBatchPy(batch))
    reader._buffer = _AnyText(reader._buffer)  # `iter` has decompressed it
    return iter(reader)


def _bytes_of(fetched: bytes, base_offset: int) -> bytes:
    place = 0
    while True:
        first_offset, length = _BATCH_START.unpack_from(fetched, place)
        end = place + _BATCH_START.size + length
        if first_offset == base_offset:
            return fetched[place:end]
        place = end
