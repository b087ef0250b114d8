"""Links recordings: the one way in which a request, wherever it comes from, becomes a link, waits, or changes nothing.

In: requests from the API, an import, an event, or the parked ones whose recording has arrived. Out: a result for each,
and in the same transaction the new versions. Requests of one call are decided in the order given, each on what the one
before left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, assert_never

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import (
    Ambiguous,
    CurrentLink,
    Found,
    Kept,
    KnownRecording,
    LinkRequest,
    NewLink,
    Nobody,
    Stale,
    Unchanged,
    decide_link,
    decide_match,
    decide_parked,
    decide_parked_kept,
)
from services.linker.link_rows import LinkRow
from services.linker.store_candidates import Candidates
from services.linker.store_catalogue import Catalogue
from services.linker.store_choices import Choices
from services.linker.store_links import Links
from services.linker.store_parked import Parked, target_key
from services.linker.target import Target


class Linked(NamedTuple):
    """A new version; `replaced_ticket_id` is the ticket that was there before."""

    recording: KnownRecording
    link_version: int
    display_name: str | None
    replaced_ticket_id: str | None


class AlreadySo(NamedTuple):
    """The recording has this ticket (or none) already."""

    recording: KnownRecording
    link_version: int


class CameLate(NamedTuple):
    """A newer request was there first; `recording` is None if both wait for theirs."""

    recording: KnownRecording | None
    link_version: int


class Waits(NamedTuple):
    """Parked until the recording arrives. `withdrew`: it takes back a request that was parked before; `repeated`: the
    same request waits already."""

    withdrew: bool
    repeated: bool = False


class NotFound(NamedTuple):
    """No recording fits, and the request is not to wait."""

    withdrew: bool = False


class Unclear(NamedTuple):
    """More than one recording fits."""

    candidates: Sequence[KnownRecording]


class HasAnother(NamedTuple):
    """Another ticket is there, or waits (then there is no recording), and the request does not replace any."""

    recording: KnownRecording | None
    link_version: int
    ticket_id: str
    is_fault: bool


Result = Linked | AlreadySo | CameLate | Waits | NotFound | Unclear | HasAnother


@dataclass
class _Work:
    """What the decisions of one call add up to."""

    links: list[LinkRow] = field(default_factory=list)
    touched: dict[str, LinkRequest] = field(default_factory=dict)


async def link_recordings(
    requests: Sequence[LinkRequest], connection: AsyncConnection, *, now: datetime, beside: Sequence[str] = ()
) -> list[Result]:
    """One result per request, in their order. `beside`: recordings to lock together with those that are meant."""
    # A row of an import is a request that nobody has made before.
    chosen = await Choices(connection).made(requests) if any(one.source != "import" for one in requests) else {}
    requests = [
        request._replace(target=Target(recording_id)) if (recording_id := chosen.get(place)) else request
        for place, request in enumerate(requests)
    ]
    targets = [request.target for request in requests]
    matches = [decide_match(found) for found in await Candidates(connection).of(targets)]
    results: dict[int, Result] = {}
    meant: list[tuple[int, LinkRequest, KnownRecording]] = []
    homeless: list[tuple[int, LinkRequest]] = []
    for place, (request, match) in enumerate(zip(requests, matches, strict=True)):
        if place in chosen and chosen[place] is None:
            results[place] = CameLate(None, 0)
            continue
        match match:
            case Found(recording):
                meant.append((place, request, recording))
            case Nobody():
                homeless.append((place, request))
            case Ambiguous(candidates):
                results[place] = Unclear(candidates)
            case _:
                assert_never(match)
    pairs = [(request, recording) for _, request, recording in meant]
    linked = await link_known(pairs, connection, now=now, beside=beside)
    results |= {place: result for (place, _, _), result in zip(meant, linked, strict=True)}
    # An event may come again long after; then another recording may have that name, or this one have another.
    by_name = [(request, one.recording_id) for request, one in pairs if request.source == "event" and request.by_name]
    if by_name:
        await Choices(connection).note(by_name)
    results |= await _park(homeless, Parked(connection))
    return [results[place] for place in range(len(requests))]


async def link_known(
    pairs: Sequence[tuple[LinkRequest, KnownRecording]],
    connection: AsyncConnection,
    *,
    now: datetime,
    beside: Sequence[str] = (),
) -> list[Result]:
    """The same for requests whose recording is known."""
    ids = {recording.recording_id for _, recording in pairs}
    if ids or beside:
        await Catalogue(connection).lock(ids.union(beside))
    if not ids:
        return []
    links = Links(connection)
    current = await links.current(ids)

    work = _Work()
    results = [_decide(request, recording, current, work, now=now) for request, recording in pairs]

    if work.links:
        await links.store(work.links)
    if work.touched:
        await links.touch(work.touched)
    return results


def _decide(
    request: LinkRequest, recording: KnownRecording, current: dict[str, CurrentLink], work: _Work, *, now: datetime
) -> Result:
    before = current.get(recording.recording_id)
    decision = decide_link(request, recording, before, now=now)
    match decision:
        case NewLink(link_version, ticket, replaced):
            current[recording.recording_id] = CurrentLink(link_version, ticket, request.request_id, request.order)
            work.links.append(LinkRow.of_request(request, recording, decision, now=now))
            work.touched.pop(recording.recording_id, None)
            return Linked(recording, link_version, ticket.display_name if ticket else None, replaced)
        case Unchanged(link_version, newest):
            if newest and before:
                current[recording.recording_id] = CurrentLink(
                    link_version, before.ticket, before.request_id, request.order
                )
                work.touched[recording.recording_id] = request
            elif newest:
                current[recording.recording_id] = CurrentLink(link_version, None, request.request_id, request.order)
                work.links.append(LinkRow.of_request(request, recording, NewLink(link_version, None, None), now=now))
            return AlreadySo(recording, link_version)
        case Stale(link_version):
            return CameLate(recording, link_version)
        case Kept(link_version, ticket_id):
            return HasAnother(recording, link_version, ticket_id, is_fault=request.on_existing == "fail")
        case _:
            assert_never(decision)


async def _park(homeless: Sequence[tuple[int, LinkRequest]], parked: Parked) -> Mapping[int, Result]:
    """Of the requests for one target the newest waits; an unlink takes back what waited."""
    if not homeless:
        return {}
    unlinks = {place: one.target for place, one in homeless if one.ticket is None and one.by_name}
    meant = await parked.meant_by(unlinks) if unlinks else {}
    homeless = [(place, one._replace(target=meant.get(place, one.target))) for place, one in homeless]
    waiting = await parked.waiting([request.target for _, request in homeless])
    before = dict(waiting)
    results: dict[int, Result] = {}
    for place, request in homeless:
        key = target_key(request.target)
        older = waiting.get(key)
        if older and older.order >= request.order:
            results[place] = CameLate(None, 0) if older.order > request.order else Waits(withdrew=False, repeated=True)
            continue
        if older and request.on_existing == "first":
            results[place] = CameLate(None, 0)
            continue
        if (kept := decide_parked_kept(request, older)) is not None:
            results[place] = HasAnother(None, 0, kept, is_fault=request.on_existing == "fail")
            continue
        withdrew = request.ticket is None and older is not None and older.ticket is not None
        if not request.park and not withdrew:
            results[place] = NotFound()
            continue
        waiting[key] = decide_parked(request, older)
        results[place] = Waits(withdrew)
    new = {key: request for key, request in waiting.items() if before.get(key) != request}
    for state, unlink in (("withdrawn", True), ("superseded", False)):
        settled = [before[key] for key, one in new.items() if key in before and (one.ticket is None) is unlink]
        await parked.settle(settled, state)
    await parked.park(list(new.values()))
    return results
