"""What the outside world has said, kept by the simulation alone: the answer that the cloud must show in the end."""

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True)
class Asked:
    """A link request: `order` as it counts, the ticket or none."""

    recording: str
    order: tuple[datetime, str]
    ticket_id: str | None


@dataclass
class Truth:
    """`recordings`: id → (folder, filename). `excused`: id → its uploads of which nobody knows any more, because a lost
    database alone knew them, and those that went again before it was heard that no keys are honoured: it may be in the
    cloud so many times more than once."""

    recordings: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    refused_records: int = 0
    excused: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def times_at_most(self, recording: str) -> int:
        """How often it may be in the cloud."""
        return 1 + len(self.excused.get(recording, ()))

    def ticket_of(self, recording: str) -> str | None:
        """Of the newest request."""
        asked = [one for one in self.asked if one.recording == recording]
        return max(asked, key=lambda one: one.order).ticket_id if asked else None
