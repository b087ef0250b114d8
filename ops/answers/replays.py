"""What a replay reads, and how far it is."""

from ops.answers import Answer


class ReplayStretch(Answer):
    """Offsets of one partition; `until_offset` is the first that is not read."""

    partition: int
    from_offset: int
    until_offset: int


class ReplayPlan(Answer):
    """What a replay reads, at most."""

    topic: str
    records: int
    partitions: list[ReplayStretch]


class Replay(Answer):
    """A replay that was begun; over when nothing is `left`."""

    topic: str
    to_read: int
    left: int
    read: int
    newer: int
    unchanged: int
    bad: int
    empty: int


class Replays(Answer):
    """The newest replay of each topic."""

    items: list[Replay]
