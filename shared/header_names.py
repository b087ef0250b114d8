"""Lets aiokafka read records whose header names are not UTF-8.

Kafka takes any bytes as a header's name, aiokafka 0.14 decodes them strictly: one such record, from a producer in
another language, would end every fetch there and hold up its partition for ever. Here its bytes become lone
surrogates (`surrogateescape`), which no name that means anything has, so the record is judged like any other.
"""

from collections.abc import Iterator
from typing import Any

from aiokafka.record.default_records import _DefaultRecordBatchPy


def as_bytes(name: str) -> bytes:
    """A header's name as it was sent."""
    return name.encode("utf-8", "surrogateescape")


def as_name(name: bytes) -> str:
    """The other way round: as aiokafka gives it."""
    return name.decode("utf-8", "surrogateescape")


class _AnyText(bytearray):
    """Bytes whose slices become text whatever they hold."""

    def __getitem__(self, place: Any) -> Any:  # noqa: ANN401
        part = super().__getitem__(place)
        return _AnyText(part) if isinstance(place, slice) else part

    def decode(self, encoding: str = "utf-8", errors: str = "surrogateescape") -> str:
        return super().decode(encoding, errors)


def with_any_names(batch: bytes) -> Iterator[Any]:
    """The records of a batch that aiokafka's fast reader cannot read."""
    reader: Any = iter(_DefaultRecordBatchPy(batch))
    reader._buffer = _AnyText(reader._buffer)  # `iter` has decompressed it
    return iter(reader)
