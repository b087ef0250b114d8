"""How many records of a topic may become dead letters: a bad one is put aside at once, a topic of bad ones is not.

If most of what comes cannot be applied, it is not the records that are wrong: a publisher has changed its format, or
another program writes to the topic. A service that went on would drain the topic into its dead letters within minutes,
and show recordings as if nothing had come. So it stops before the batch, with no position moved and nothing put aside,
says so, and looks again now and then; a person decides.
"""

from dataclasses import dataclass

WINDOW_RECORDS = 1_000
# Fewer prove nothing, whatever their share.
FEWEST = 100
NO_LIMIT = 100


@dataclass(frozen=True)
class Counted:
    """Some records that were read in a row, and how many of them are dead letters that nobody had before."""

    read: int
    bad: int


@dataclass(frozen=True)
class Passes:
    """The batch may be stored; `window` is what counts from then on."""

    window: tuple[Counted, ...]


@dataclass(frozen=True)
class TooMany:
    """`bad` of the last `read` records would be dead letters."""

    bad: int
    read: int


def decide_batch(window: tuple[Counted, ...], batch: Counted, *, percent: int) -> Passes | TooMany:
    """Whether a batch goes on after those of `window`: not if over `percent` of the last records would be put aside.

    Whole batches count, so that the window may hold somewhat more than WINDOW_RECORDS.
    """
    counted = (*window, batch)
    read = sum(one.read for one in counted)
    while read - counted[0].read >= WINDOW_RECORDS:
        read -= counted[0].read
        counted = counted[1:]
    bad = sum(one.bad for one in counted)
    if batch.bad and bad >= FEWEST and bad * 100 > read * percent:
        return TooMany(bad, read)
    return Passes(counted)


class Refused(Exception):
    """The batch must not be stored: too much of it would become dead letters."""


class DeadLetterLimit:
    """The limit of one topic in one process. `percent` NO_LIMIT: there is none.

    `stopped` says in words why the topic is not read on, and what to do; None while it is.
    """

    def __init__(self, topic: str, *, percent: int) -> None:
        self.stopped: str | None = None
        self._topic = topic
        self._percent = percent
        self._window: tuple[Counted, ...] = ()

    def judge(self, batch: Counted, *, reason: str) -> None:
        """Within the transaction that stores the batch; `reason` is that of its first dead letter. Raises Refused."""
        match decide_batch(self._window, batch, percent=self._percent):
            case TooMany(bad, read):
                self.stopped = (
                    f"{self._topic} is not read on: {bad} of the last {read} records cannot be applied ({reason}), so "
                    "it is their publisher, or this service's version, that is wrong. Mend that; or, to put them aside "
                    f"as dead letters, start this service once with DEAD_LETTER_LIMIT_PERCENT={NO_LIMIT}"
                )
                raise Refused
            case Passes():
                return

    def passed(self, batch: Counted) -> None:
        """The batch is stored."""
        self.stopped = None
        match decide_batch(self._window, batch, percent=NO_LIMIT):
            case Passes(window):
                self._window = window
