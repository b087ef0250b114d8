"""What the outside world has said, kept by the simulation alone: the answer that the cloud must show in the end."""

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
    """`recordings`: id → (folder, filename). `excused`: uploads that only a database which was lost knew of."""

    recordings: dict[str, tuple[str, str]] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    refused_records: int = 0
    excused: set[str] = field(default_factory=set)

    def ticket_of(self, recording: str) -> str | None:
        """Of the newest request."""
        asked = [one for one in self.asked if one.recording == recording]
        return max(asked, key=lambda one: one.order).ticket_id if asked else None
