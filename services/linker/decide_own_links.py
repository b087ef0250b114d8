"""What linker decides about its own facts when it reads them back. Values in, values out, as in decisions.py.

In daily work they say what the rows say. After a lost or restored database they know more, and never fewer versions
than were given: the newest request decides what a link holds, and its version ends above all that the topic has.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.events import TicketLinked
from services.linker.decisions import CurrentLink


@dataclass(frozen=True)
class TakeOver:
    """The topic knows more than the row: the row becomes this fact under `link_version`."""

    fact: TicketLinked
    link_version: int


@dataclass(frozen=True)
class Lift:
    """The topic has versions that this database never gave; the row keeps its content under a higher one."""

    link_version: int


@dataclass(frozen=True)
class Heard:
    """The row stays as it is."""


OwnDecision = TakeOver | Lift | Heard


def decide_own_link(facts: Iterable[TicketLinked], current: CurrentLink | None) -> OwnDecision:
    """What our own facts of one recording, read back, say about its row.

    A lost or older database gave fewer versions than the topic has. The newest request decides the content, and the
    version ends above every version that was ever given.
    """
    highest = max(facts, key=lambda fact: fact.link_version)
    if current is None:
        return TakeOver(highest, highest.link_version)
    ours, theirs = current.order, (highest.requested_at, str(highest.request_id))
    if highest.link_version > current.link_version:
        return TakeOver(highest, highest.link_version) if theirs >= ours else Lift(highest.link_version + 1)
    if highest.link_version == current.link_version and highest.request_id != current.request_id:
        # One version for two links: neither may stand.
        return TakeOver(highest, highest.link_version + 1) if theirs > ours else Lift(highest.link_version + 1)
    return Heard()
