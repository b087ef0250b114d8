"""What goes into a folder's next request, and when to look at the folder again if nothing does.

In: rows as values, and the time. Out: the request, byte for byte. Pure.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, NamedTuple

from schemas.fields import CloudsUuid, RecordingId
from services.transfer.decisions import Waits, earliest
from services.transfer.upload_body import create_body, file_entry, inject_body

MAX_FILES = 500
MAX_BODY_BYTES = 4_000_000
LOOK_AGAIN = timedelta(seconds=10)
FILENAME_TAKEN = "filename_taken: another recording of this folder has the name"

Kind = Literal["create", "inject"]


class Ready(NamedTuple):
    """A recording that may be uploaded now, with the ticket known now. `transfer_version` is what it will get."""

    recording_id: RecordingId
    folder_name: str
    filename: str
    size_bytes: int
    token: int
    transcript: str
    transfer_version: int
    link_version: int
    ticket_info: Mapping[str, Any] | None
    content_hash: bytes

    def __repr__(self) -> str:
        """Without its transcript."""
        return f"Ready({self.recording_id!r})"


class FrozenFile(NamedTuple):
    """A recording in an open request: the versions that it will have been transferred as, and with, and of which
    RecordingProcessed."""

    recording_id: RecordingId
    transfer_version: int
    link_version: int
    content_hash: bytes


@dataclass(frozen=True)
class Lot:
    """One request, ready to be frozen. `rejected` says why a recording cannot go into this folder as it is."""

    kind: Kind
    clouds_uuid: CloudsUuid | None
    files: tuple[Ready, ...]
    body: bytes = field(repr=False)
    rejected: Mapping[RecordingId, str]

    @property
    def frozen(self) -> tuple[FrozenFile, ...]:
        """What is known of its files once it is frozen."""
        return tuple(
            FrozenFile(one.recording_id, one.transfer_version, one.link_version, one.content_hash) for one in self.files
        )


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
    return earliest(ready_at, now + LOOK_AGAIN) if rest.frozen_elsewhere else ready_at
