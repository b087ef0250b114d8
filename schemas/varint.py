"""Numbers as Kafka's records have them: seven bits in a byte, the lowest first, and the sign in the lowest of all.

Source: https://protobuf.dev/programming-guides/encoding/#signed-ints
"""

MORE = 0x80
BITS = 7
_LONGEST_BITS = 63


def read(data: bytes, at: int) -> tuple[int, int]:
    """The number that begins there, and where it ends. Raises IndexError if the data ends before it does."""
    number, at = read_unsigned(data, at)
    return number >> 1 ^ -(number & 1), at


def read_unsigned(data: bytes, at: int) -> tuple[int, int]:
    """The same without its sign, which is left as the lowest bit."""
    number = shift = 0
    while (part := data[at]) >= MORE:
        if shift >= _LONGEST_BITS:
            raise IndexError("a number without an end")
        number |= (part - MORE) << shift
        shift += BITS
        at += 1
    return number | part << shift, at + 1


def written(number: int) -> bytes:
    """The other way round."""
    rest = number << 1 if number >= 0 else ~(number << 1)
    parts = bytearray()
    while rest >= MORE:
        parts.append(rest % MORE + MORE)
        rest >>= BITS
    parts.append(rest)
    return bytes(parts)
