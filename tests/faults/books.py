"""What the outside world has asked for, kept by the driver alone: the answer that the cloud must show in the end.

Every ticket id is used once, so that a ticket seen anywhere says which request it came from. Of the requests for one
recording the newest wins, by (requested_at, request_id), in whatever order they arrive.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime

NEVER = (datetime.min.replace(tzinfo=UTC), "")


@dataclass
class Recording:
    """`busy`: a request for it is under way, and until its answer is there nobody else asks for anything."""

    recording_id: str
    folder: str
    filename: str
    revision: int = 1
    order: tuple[datetime, str] = NEVER
    ticket_id: str | None = None
    busy: bool = False
    left_alone: bool = False


@dataclass(frozen=True)
class Needless:
    """A record that must change nothing, and where it stands. `older`: what it says of its recording after a newer one,
    a revision or the time of a request; None: it was said before."""

    topic: str
    place: tuple[int, int]
    recording_id: str = ""
    older: int | datetime | None = None


@dataclass
class Books:
    """`put_in`: what was published on topics of others, by topic; `needless`: by kind, what was said to no purpose."""

    recordings: dict[str, Recording] = field(default_factory=dict)
    put_in: Counter[str] = field(default_factory=Counter)
    needless: defaultdict[str, list[Needless]] = field(default_factory=lambda: defaultdict(list))

    def asked(self, one: Recording, requested_at: datetime, request_id: str, ticket_id: str | None) -> None:
        """A request was made; it counts only if it is the newest."""
        if (requested_at, request_id) > one.order:
            one.order, one.ticket_id = (requested_at, request_id), ticket_id

    def free(self) -> list[Recording]:
        """Those that may be asked for something."""
        return [one for one in self.recordings.values() if not one.busy and not one.left_alone]

    def wanted(self) -> dict[tuple[str, str], str | None]:
        """(Folder, filename) → the ticket that the cloud has to show."""
        return {(one.folder, one.filename): one.ticket_id for one in self.recordings.values()}
