"""Keys go where every other client of Kafka puts them."""

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis.strategies import binary, integers

from shared.partition import murmur2, partition_of


def test_known_hashes_of_java() -> None:
    """From org.apache.kafka.common.utils.UtilsTest."""
    assert murmur2(b"21") == -973932308 & 0xFFFFFFFF
    assert murmur2(b"foobar") == -790332482 & 0xFFFFFFFF
    assert murmur2(b"a-little-bit-long-string") == -985981536 & 0xFFFFFFFF
    assert murmur2(b"abc") == 479470107


@given(key=binary(max_size=70), partitions=integers(1, 200))
def test_a_key_goes_where_aiokafka_puts_it(key: bytes, partitions: int) -> None:
    numbers = list(range(partitions))

    assert partition_of(key, partitions) == DefaultPartitioner()(key, numbers, numbers)
