"""Keys go where every other client of Kafka puts them."""

from aiokafka.partitioner import DefaultPartitioner
from hypothesis import given
from hypothesis.strategies import binary, integers, lists

from shared.partition import murmur2


def test_known_hashes_of_java() -> None:
    """From org.apache.kafka.common.utils.UtilsTest."""
    assert murmur2([b"21", b"foobar", b"a-little-bit-long-string", b"abc"]) == [
        -973932308 & 0x7FFFFFFF,
        -790332482 & 0x7FFFFFFF,
        -985981536 & 0x7FFFFFFF,
        479470107,
    ]


@given(keys=lists(binary(max_size=70) | binary(min_size=9, max_size=10), max_size=30), partitions=integers(1, 200))
def test_a_key_goes_where_aiokafka_puts_it(keys: list[bytes], partitions: int) -> None:
    numbers = list(range(partitions))
    partition_of = DefaultPartitioner()

    assert [one % partitions for one in murmur2(keys)] == [partition_of(key, numbers, numbers) for key in keys]
