"""What linker decides. Values in, values out: no database, no network, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal, NamedTuple

from schemas.events import TicketDetails, TicketInfo
from services.linker.display_name import display_name
from services.linker.target import Target

Source = Literal["api", "import", "event"]
OnExisting = Literal["overwrite", "keep", "fail", "first"]


class LinkRequest(NamedTuple):
    """What somebody wants a recording's ticket to be (None: no ticket), and its place in the order of requests.

    `keeps`: fields of the ticket that were not asked for; they stay as they are as long as the ticket_id does.
    `on_existing`: unless it is overwrite, a recording that has another ticket keeps it; fail calls that a fault. With
    first nothing is linked where somebody has decided anything before, an unlink as well.
    """

    request_id: str
    requested_at: datetime
    target: Target
    ticket: TicketDetails | None
    source: Source
    linked_by: str | None = None
    import_id: str | None = None
    park: bool = True
    keeps: frozenset[str] = frozenset()
    on_existing: OnExisting = "overwrite"

    @property
    def by_name(self) -> bool:
        """It names its recording by a filename."""
        return self.target.recording_id is None

    @property
    def order(self) -> tuple[datetime, str]:
        """The newest request wins."""
        return self.requested_at, self.request_id


class KnownRecording(NamedTuple):
    """A recording of the catalogue."""

    recording_id: str
    folder_id: str
    folder_name: str | None
    filename: str
    called_at: datetime | None


class CurrentLink(NamedTuple):
    """A recording's newest link. `order`: of the newest request seen; `request_id`: of the one that made the link.

    Version 0: nothing was ever linked, but an unlink was asked for, which an older link must not undo.
    """

    link_version: int
    ticket: TicketInfo | None
    request_id: str
    order: tuple[datetime, str]


class NewLink(NamedTuple):
    """The link gets this version; `replaced_ticket_id` is the ticket that it takes away, if any."""

    link_version: int
    ticket: TicketInfo | None
    replaced_ticket_id: str | None


@dataclass(frozen=True)
class Unchanged:
    """The recording has this ticket already; no version, no event. `newest`: the request is the newest seen."""

    link_version: int
    newest: bool


@dataclass(frozen=True)
class Stale:
    """A newer request came before this one."""

    link_version: int


@dataclass(frozen=True)
class Kept:
    """The recording has another ticket already, which the request does not want to replace."""

    link_version: int
    ticket_id: str


LinkDecision = NewLink | Unchanged | Stale | Kept


def decide_link(
    request: LinkRequest, recording: KnownRecording, current: CurrentLink | None, *, now: datetime
) -> LinkDecision:
    """What a request does to a recording's link. Rule: the newest request wins, and the same ticket again changes
    nothing.
    """
    if current is None:
        if request.ticket is None:
            return Unchanged(0, newest=True)
        return NewLink(1, ticket_info(request.ticket, recording, now=now), None)
    if request.order == current.order or request.on_existing == "first":
        return Unchanged(current.link_version, newest=False)
    if request.order < current.order:
        return Stale(current.link_version)
    before = details_of(current.ticket)
    wanted = _completed(request, before)
    if before == wanted:
        return Unchanged(current.link_version, newest=True)
    if before is not None and request.on_existing != "overwrite":
        return Kept(current.link_version, before.ticket_id)
    info = ticket_info(wanted, recording, now=now) if wanted else None
    return NewLink(current.link_version + 1, info, current.ticket.ticket_id if current.ticket else None)


def _completed(request: LinkRequest, before: TicketDetails | None) -> TicketDetails | None:
    """The wanted ticket, with what it keeps of the one before."""
    if request.ticket is None or before is None or before.ticket_id != request.ticket.ticket_id:
        return request.ticket
    return request.ticket.model_copy(update={field: getattr(before, field) for field in request.keeps})


def decide_parked(request: LinkRequest, older: LinkRequest | None) -> LinkRequest:
    """The request as it waits in place of an older one for the same target: as if that had been applied before it."""
    if older is None or request.ticket is None:
        return request
    # Whatever is there by then, one that overwrites has taken its place before.
    on_existing = "overwrite" if older.on_existing == "overwrite" else request.on_existing
    if older.ticket is None or older.ticket.ticket_id != request.ticket.ticket_id:
        return request._replace(keeps=frozenset(), on_existing=on_existing)
    ticket, keeps = _completed(request, older.ticket), request.keeps & older.keeps
    return request._replace(ticket=ticket, keeps=keeps, on_existing=on_existing)


def decide_parked_kept(request: LinkRequest, older: LinkRequest | None) -> str | None:
    """The ticket that waits for the same target and is not to be replaced, if there is one."""
    if request.on_existing == "overwrite" or older is None or older.ticket is None or request.ticket is None:
        return None
    return older.ticket.ticket_id if _completed(request, older.ticket) != older.ticket else None


def details_of(ticket: TicketInfo | None) -> TicketDetails | None:
    """What was given of a ticket, without what linker added: that does not count as a change."""
    if ticket is None:
        return None
    return TicketDetails(**{name: getattr(ticket, name) for name in TicketDetails.model_fields})


def ticket_info(ticket: TicketDetails, recording: KnownRecording, *, now: datetime) -> TicketInfo:
    """The ticket as the cloud shows it. Rule: cloud contract, 'display name' and 'linked_at'."""
    shown = display_name(
        ticket.ticket_id, ticket.customer_name, filename=recording.filename, called_at=recording.called_at
    )
    return TicketInfo(**vars(ticket), display_name=shown, linked_at=_whole_seconds(now))


@lru_cache(maxsize=16)  # the links of one lot are of one moment
def _whole_seconds(now: datetime) -> datetime:
    return now.replace(microsecond=0)


@dataclass(frozen=True)
class Found:
    """The one recording that is meant."""

    recording: KnownRecording


@dataclass(frozen=True)
class Nobody:
    """No recording fits yet."""


@dataclass(frozen=True)
class Ambiguous:
    """More than one fits; choosing one would be a guess."""

    candidates: Sequence[KnownRecording]


Match = Found | Nobody | Ambiguous


def decide_match(candidates: Sequence[KnownRecording]) -> Match:
    """Which recording is meant, of those that fit. Never an arbitrary one."""
    match candidates:
        case []:
            return Nobody()
        case [one]:
            return Found(one)
        case _:
            return Ambiguous(candidates)
