"""What transfer decides about uploads: which facts are news, when to look at a folder, what goes into its next request.

In: facts and rows as values, and the time. Out: values. Nothing here reads a clock, a database or the network. What the
cloud's answer to a request means is decided in `outcomes.py`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from schemas.events import RecordingProcessed, RecordingTransferred, TicketLinked
from schemas.fields import CloudsUuid, FolderId, RecordingId
from services.transfer.upload_body import create_body, file_entry, inject_body

MAX_FILES = 500
MAX_BODY_BYTES = 4_000_000
LOOK_AGAIN = timedelta(seconds=10)
FILENAME_TAKEN = "filename_taken: another recording of this folder has the name"

Kind = Literal["create", "inject"]


@dataclass(frozen=True)
class Waits:
    """How long a folder gathers recordings, and how long one of them waits for a ticket that it requires."""

    quiet: timedelta
    grace: timedelta


@dataclass(frozen=True)
class Processed:
    """A RecordingProcessed with its place among the facts about its recording: the greatest `rank` is the newest."""

    fact: RecordingProcessed
    content_hash: bytes

    @property
    def rank(self) -> tuple[int, datetime, bytes]:
        """The hash makes an order of facts that differ and claim the same revision and time."""
        return self.fact.revision, self.fact.processed_at, self.content_hash


@dataclass(frozen=True)
class KnownRecording:
    """What the row of a recording says: the rank of its fact, its folder, and since when it is known."""

    rank: tuple[int, datetime, bytes]
    folder_id: FolderId
    folded_at: datetime


def newest_of_each(facts: Iterable[RecordingProcessed]) -> dict[RecordingId, Processed]:
    """The newest fact of each recording."""
    newest: dict[RecordingId, Processed] = {}
    for fact in facts:
        one = Processed(fact, hashlib.sha256(fact.model_dump_json().encode()).digest())
        known = newest.get(fact.recording_id)
        if known is None or one.rank > known.rank:
            newest[fact.recording_id] = one
    return newest


def decide_news(
    newest: Mapping[RecordingId, Processed], known: Mapping[RecordingId, KnownRecording]
) -> list[Processed]:
    """Those that say something newer than the rows, in the order in which rows are written."""
    return [
        one
        for recording_id, one in sorted(newest.items())
        if recording_id not in known or one.rank > known[recording_id].rank
    ]


def decide_looks(
    news: Iterable[Processed],
    known: Mapping[RecordingId, KnownRecording],
    *,
    with_ticket: frozenset[RecordingId],
    waits: Waits,
    now: datetime,
) -> dict[FolderId, datetime | None]:
    """When to look at each folder that the news concern. None: no need, but the folder must be locked all the same.

    That is the folder which a recording leaves: nobody may be freezing it there meanwhile.
    """
    looks: dict[FolderId, datetime | None] = {}
    for one in news:
        fact, was = one.fact, known.get(one.fact.recording_id)
        if was:
            looks.setdefault(was.folder_id, None)
        waits_for_ticket = fact.requires_ticket and fact.recording_id not in with_ticket
        ready_at = (was.folded_at if was else now) + waits.grace if waits_for_ticket else now + waits.quiet
        looks[fact.folder_id] = _earliest(looks.get(fact.folder_id), ready_at)
    return looks


def decide_links(facts: Iterable[TicketLinked], known: Mapping[RecordingId, int]) -> list[TicketLinked]:
    """The newest link of each recording, if it is newer than the known one."""
    newest: dict[RecordingId, TicketLinked] = {}
    for fact in facts:
        best = newest.get(fact.recording_id)
        if fact.link_version > (best.link_version if best else known.get(fact.recording_id, 0)):
            newest[fact.recording_id] = fact
    return list(newest.values())


@dataclass(frozen=True)
class KnownTransfer:
    """What the rows say of a recording's transfer, 0 for never; and every folder that a change of it concerns."""

    transfer_version: int
    heard_version: int
    folder_ids: frozenset[FolderId]


@dataclass(frozen=True)
class Heard:
    """What a batch of own facts adds: those `newer` than the rows, with every folder that they concern, and where the
    topic's last word is not the known one. `behind`: a last word is older than what is known."""

    newer: tuple[RecordingTransferred, ...]
    folder_ids: frozenset[FolderId]
    last_words: Mapping[RecordingId, int]
    behind: bool


def decide_heard(facts: Sequence[RecordingTransferred], known: Mapping[RecordingId, KnownTransfer]) -> Heard:
    """`facts` in the order of the topic, which alone decides what its last word is."""
    newest: dict[RecordingId, RecordingTransferred] = {}
    for fact in facts:
        best = newest.get(fact.recording_id)
        if fact.transfer_version > (best or known[fact.recording_id]).transfer_version:
            newest[fact.recording_id] = fact
    concerned = {folder_id for one in newest for folder_id in known[one].folder_ids}
    last = {fact.recording_id: fact.transfer_version for fact in facts}
    return Heard(
        newer=tuple(newest.values()),
        folder_ids=frozenset(concerned | {fact.folder_id for fact in newest.values()}),
        last_words={one: version for one, version in last.items() if version != known[one].heard_version},
        behind=any(version < newest.get(one, known[one]).transfer_version for one, version in last.items()),
    )


@dataclass(frozen=True)
class Ready:
    """A recording that may be uploaded now, with the ticket known now. `transfer_version` is what it will get."""

    recording_id: RecordingId
    folder_name: str
    filename: str
    size_bytes: int
    token: int
    transcript: str = field(repr=False)
    transfer_version: int
    link_version: int
    ticket_info: Mapping[str, Any] | None


@dataclass(frozen=True)
class FrozenFile:
    """A recording in an open request: the versions that it will have been transferred as, and with."""

    recording_id: RecordingId
    transfer_version: int
    link_version: int


@dataclass(frozen=True)
class Lot:
    """One request, ready to be frozen. `rejected` says why a recording cannot go into this folder as it is."""

    kind: Kind
    clouds_uuid: CloudsUuid | None
    files: tuple[Ready, ...]
    body: bytes = field(repr=False)
    rejected: Mapping[RecordingId, str]


@dataclass(frozen=True)
class NoLot:
    """Nothing can go now."""

    rejected: Mapping[RecordingId, str]


def decide_lot(
    ready: Sequence[Ready],
    *,
    taken: Mapping[str, RecordingId],
    clouds_uuid: CloudsUuid | None,
    link_versions: bool,
    max_files: int,
) -> Lot | NoLot:
    """The first of `ready` that fit into one request; a single larger one goes alone.

    `taken` says which recording has a filename in this folder: the cloud tells files apart by nothing else.
    """
    names = dict(taken)
    rejected: dict[RecordingId, str] = {}
    files: list[Ready] = []
    entries: list[bytes] = []
    size_bytes = 0
    for one in ready:
        if names.setdefault(one.filename, one.recording_id) != one.recording_id:
            rejected[one.recording_id] = FILENAME_TAKEN
            continue
        entry = _entry(one, link_versions=link_versions)
        size_bytes += len(entry) + 1
        if files and (len(files) >= max_files or size_bytes > MAX_BODY_BYTES):
            break
        files.append(one)
        entries.append(entry)
    if not files:
        return NoLot(rejected)
    if clouds_uuid:
        return Lot("inject", clouds_uuid, tuple(files), inject_body(entries), rejected)
    # The label is the newest recording's: `ready` comes in the order of processing.
    return Lot("create", None, tuple(files), create_body(files[-1].folder_name, entries), rejected)


def _entry(one: Ready, *, link_versions: bool) -> bytes:
    return file_entry(
        filename=one.filename,
        size_bytes=one.size_bytes,
        token=one.token,
        transcript=one.transcript,
        ticket_info=one.ticket_info,
        link_version=one.link_version if link_versions else None,
    )


@dataclass(frozen=True)
class Rest:
    """What a folder has besides what is ready: since when the first waits for a ticket, and whether any is frozen in
    the request of another folder, which it was in before."""

    waiting_since: datetime | None
    frozen_elsewhere: bool


def decide_next_look(rest: Rest, *, more: bool, waits: Waits, now: datetime) -> datetime | None:
    """When to look at a folder again from which nothing goes now; None: when something new arrives."""
    if more:
        return now
    ready_at = rest.waiting_since + waits.grace if rest.waiting_since else None
    return _earliest(ready_at, now + LOOK_AGAIN) if rest.frozen_elsewhere else ready_at


def _earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    return min(filter(None, (one, other)), default=None)
