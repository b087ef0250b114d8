"""Where Kafka's clients put a key: murmur2 as in Java, so that every publisher of a key has the same partition.

aiokafka has the same function byte by byte, which for keys like ours takes longer than to make the whole record. Here
all keys of one length are hashed at once, side by side in one large integer of 64 bits for each, of which every step
uses the lower 32: what a multiplication carries beyond them is masked before the next.
"""

from collections import defaultdict
from collections.abc import Sequence
from struct import unpack

_M = 0x5BD1E995
_32_BITS = 0xFFFFFFFF
_LANE_BYTES = 8


def murmur2(keys: Sequence[bytes]) -> list[int]:
    """As org.apache.kafka.common.utils.toPositive(murmur2(key)) of each.

    By the number of partitions, what remains of it is the key's partition.
    """
    places: dict[int, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[len(key)].append(place)
    found = [0] * len(keys)
    for alike in places.values():
        for place, one in zip(alike, _of_one_length([keys[place] for place in alike]), strict=True):
            found[place] = one & 0x7FFFFFFF
    return found


def _of_one_length(keys: Sequence[bytes]) -> tuple[int, ...]:
    size, data = len(keys[0]), b"".join(keys)
    ones = int.from_bytes((1).to_bytes(_LANE_BYTES, "little") * len(keys), "little")
    lower = ones * _32_BITS

    def shifted(lanes: int, bits: int) -> int:
        return lanes >> bits & ones * (_32_BITS >> bits)

    def word(start: int, end: int) -> int:
        """These bytes of each key."""
        lanes = bytearray(_LANE_BYTES * len(keys))
        for place in range(start, end):
            lanes[place - start :: _LANE_BYTES] = data[place::size]
        return int.from_bytes(lanes, "little")

    whole = size & ~3
    found = ones * (0x9747B28C ^ size)
    for start in range(0, whole, 4):
        mixed = word(start, start + 4) * _M & lower
        mixed ^= shifted(mixed, 24)
        found = (found * _M & lower) ^ (mixed * _M & lower)
    if whole < size:
        found = (found ^ word(whole, size)) * _M & lower
    found ^= shifted(found, 13)
    found = found * _M & lower
    found ^= shifted(found, 15)
    return unpack(f"<{len(keys)}Q", found.to_bytes(_LANE_BYTES * len(keys), "little"))
