"""What became of links, and those that wait for their recordings."""

from ops.answers import Answer, PageOf


class Linked(Answer):
    """What became of a link or an unlink."""

    outcome: str
    recording_id: str | None = None
    link_version: int | None = None
    replaced_ticket_id: str | None = None
    display_name: str | None = None


class ParkedLink(Answer):
    """A link that waits for its recording, named for the answer and as it is shown."""

    parked_id: str
    request_id: str
    recording_id: str | None
    folder: str | None
    filename: str | None
    ticket_id: str
    age_s: int
    state: str


class ParkedLinks(PageOf[ParkedLink]):
    """A page of parked links, the oldest first."""


class Dropped(Answer):
    """How many parked links were given up, and how many did not wait any more."""

    dropped: int
    gone: int
