"""A record's headers as they stand in Kafka's format: their number, and of each the name and the value.

Most are known as they stand and never taken apart (schemas/headers.py). A name may be any bytes, whatever clients make
of it: what is not UTF-8 becomes lone surrogates here (`surrogateescape`), which no name that means anything has.

Source: https://kafka.apache.org/documentation/#recordheader
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from schemas import varint

Headers = Sequence[tuple[str, bytes | None]]

NO_HEADERS = b"\0"


class Span(NamedTuple):
    """Where a header's name and value stand, and where it ends. A value that is null stands nowhere."""

    name: slice
    value: slice | None
    end: int


def split(raw: bytes) -> list[tuple[str, bytes | None]]:
    """Names and values. Raises ValueError if these are no headers; no broker takes such a record."""
    return [(as_name(raw[one.name]), raw[one.value] if one.value else None) for one in spans(raw)]


def spans(raw: bytes) -> list[Span]:
    """Of each header in turn. Raises as `split` does."""
    found: list[Span] = []
    try:
        number, at = varint.read(raw, 0)
        for _ in range(number):
            length, at = varint.read(raw, at)
            if length < 0:
                raise ValueError("a header's name has no length")
            name = slice(at, at + length)
            length, at = varint.read(raw, name.stop)
            value = slice(at, at + length) if length >= 0 else None
            at = value.stop if value else at
            found.append(Span(name, value, at))
    except IndexError:
        at = -1
    if at != len(raw) or number < 0:
        raise ValueError("the headers end elsewhere than they say")
    return found


def joined(headers: Headers) -> bytes:
    """The other way round."""
    return b"".join(_written(headers))


def _written(headers: Headers) -> Iterator[bytes]:
    yield varint.written(len(headers))
    for name, value in headers:
        yield varint.written(len(as_bytes(name)))
        yield as_bytes(name)
        yield varint.written(-1 if value is None else len(value))
        yield value or b""


def as_bytes(name: str) -> bytes:
    """A header's name as it was sent."""
    return name.encode("utf-8", "surrogateescape")


def as_name(name: bytes) -> str:
    """The other way round."""
    return name.decode("utf-8", "surrogateescape")
