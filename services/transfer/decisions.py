"""What transfer decides about facts: which are news, when their folders are looked at, where folders are.

In: facts and rows as values, and the time. Out: values. Nothing here reads a clock, a database or the network. What
goes into a request is decided in `lots.py`, what the cloud's answer to it means in `answers.py`.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from schemas.events import RecordingProcessed, RecordingTransferred, TicketLinked
from schemas.fields import CloudsUuid, FolderId, RecordingId


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
        one = Processed(fact, hashlib.sha256(fact.as_json()).digest())
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
        looks[fact.folder_id] = earliest(looks.get(fact.folder_id), ready_at)
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
    """What the rows say of a recording's transfer, version 0 for never; and every folder that a change of it concerns.

    `heard`: the last record of the topic about it says this version.
    """

    transfer_version: int
    heard: bool
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

    def is_said_already(one: RecordingId, version: int) -> bool:
        return one not in newest and (version == known[one].transfer_version) == known[one].heard

    return Heard(
        newer=tuple(newest.values()),
        folder_ids=frozenset(concerned | {fact.folder_id for fact in newest.values()}),
        last_words={one: version for one, version in last.items() if not is_said_already(one, version)},
        behind=any(version < newest.get(one, known[one]).transfer_version for one, version in last.items()),
    )


@dataclass(frozen=True)
class Place:
    """Where a folder is in the cloud, by what was known at `since`. None: nowhere, or the cloud has lost it."""

    clouds_uuid: CloudsUuid | None
    since: datetime | None

    @property
    def rank(self) -> tuple[datetime, str]:
        """The greatest counts."""
        return self.since or datetime.min.replace(tzinfo=UTC), self.clouds_uuid or ""


NOWHERE = Place(None, None)


def decide_places(facts: Iterable[RecordingTransferred], known: Mapping[FolderId, Place]) -> dict[FolderId, Place]:
    """Where folders are, if that is newer than what is known: the last transfer into a folder says so, whichever
    recording's it was, and whether or not that has been transferred elsewhere since."""
    newer: dict[FolderId, Place] = {}
    for fact in facts:
        place = Place(fact.clouds_uuid, fact.transferred_at)
        if place.rank > newer.get(fact.folder_id, known.get(fact.folder_id, NOWHERE)).rank:
            newer[fact.folder_id] = place
    return newer


def earliest(one: datetime | None, other: datetime | None) -> datetime | None:
    """The earlier of two moments, of which either may never come."""
    return min(filter(None, (one, other)), default=None)
