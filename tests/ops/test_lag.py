"""How far behind, how fast, and until when: from two looks at the same partitions."""

from datetime import UTC, datetime, timedelta

from ops.answers.reading import Lag, PartitionLag
from ops.lag import progress

NOON = datetime(2025, 1, 29, 12, tzinfo=UTC)


def look(at_s: float, *partitions: tuple[int, int], topic: str = "TicketLinked") -> Lag:
    """Each partition as (next offset, end)."""
    return Lag(
        at=NOON + timedelta(seconds=at_s),
        partitions=[
            PartitionLag(
                topic=topic,
                partition=number,
                next_offset=reached,
                end_offset=end,
                behind=end - reached,
                unread_since=NOON if end > reached else None,
                last_minute=0,
            )
            for number, (reached, end) in enumerate(partitions)
        ],
    )


def test_a_service_that_reads_faster_than_records_come_will_have_caught_up() -> None:
    [one] = progress(
        {"linker": look(0, (0, 1000), (0, 1000))}, {"linker": look(2, (300, 1050), (300, 1050))}, by_partition=False
    )

    assert (one.behind, one.reads_per_s, one.oldest_s) == (1500, 300.0, 2.0)
    assert one.caught_up_in_s == 1500 / 250


def test_one_that_gets_no_nearer_will_not() -> None:
    [one] = progress({"linker": look(0, (0, 100))}, {"linker": look(1, (10, 120))}, by_partition=False)

    assert one.caught_up_in_s is None


def test_one_that_has_read_all_is_there() -> None:
    [one] = progress({"linker": look(0, (5, 5))}, {"linker": look(1, (5, 5))}, by_partition=False)

    assert (one.behind, one.oldest_s, one.caught_up_in_s) == (0, None, 0.0)


def test_each_partition_may_be_seen_by_itself_also_one_that_was_just_made() -> None:
    found = progress({"linker": look(0, (0, 10))}, {"linker": look(1, (10, 10), (0, 4))}, by_partition=True)

    assert [(one.partition, one.behind, one.reads_per_s) for one in found] == [(0, 0, 10.0), (1, 4, 0.0)]
