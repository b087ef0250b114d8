"""Where Kafka's clients put a key: murmur2 as in Java, so that every publisher of a key has the same partition.

aiokafka has the same function byte by byte, which for keys like ours takes longer than to make the whole record.
"""

from struct import iter_unpack

_M = 0x5BD1E995
_32_BITS = 0xFFFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition of `key`, of so many numbered from 0."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def murmur2(data: bytes) -> int:
    """As org.apache.kafka.common.utils.Utils.murmur2, without its sign."""
    whole = len(data) & ~3
    found = 0x9747B28C ^ len(data)
    for (word,) in iter_unpack("<I", data[:whole]):
        mixed = word * _M & _32_BITS
        mixed ^= mixed >> 24
        found = (found * _M & _32_BITS) ^ (mixed * _M & _32_BITS)
    if whole < len(data):
        found = (found ^ int.from_bytes(data[whole:], "little")) * _M & _32_BITS
    found ^= found >> 13
    found = found * _M & _32_BITS
    return found ^ (found >> 15)
