"""What the cloud remembers: its folders, their files and tickets, and the Idempotency-Keys it has honoured.

In: effects. `record` writes one to the log and then applies it, in one step of the event loop; at the start the log is
applied again. So the folders are always exactly what the log says.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import cast

from pydantic_core import from_json, to_json

from local.emulator.bodies import TicketInfo
from local.emulator.journal import Effect, FileEffect, Journal


@dataclass(slots=True)
class StoredFile:
    """A row of a folder; the ticket is kept as JSON, a quarter of the memory of a dict."""

    filename: str
    size: str
    token: int
    ticket_json: bytes | None
    link_version: int | None

    @property
    def ticket_info(self) -> TicketInfo | None:
        """The ticket as it was sent."""
        return cast("TicketInfo", from_json(self.ticket_json)) if self.ticket_json else None


@dataclass(slots=True)
class Folder:
    """A folder's rows by filename, in order of arrival; the same file uploaded twice is two rows of its name."""

    uuid: str
    name: str
    rows: dict[str, list[StoredFile]] = field(default_factory=dict)

    def files(self) -> Iterator[StoredFile]:
        """All rows, those of one filename together."""
        return (row for rows in self.rows.values() for row in rows)

    def link_version(self, filename: str) -> int:
        """The newest link version stored for a filename; 0 if none was ever given."""
        return max((row.link_version or 0 for row in self.rows[filename]), default=0)


@dataclass(frozen=True, slots=True)
class Honoured:
    """A key whose request has had its effect: what a repeat must equal, and what it is answered."""

    digest: str
    uuid: str
    at: datetime


class Store:
    """The folders and keys of one cloud; without a journal nothing is logged and nothing outlives the process."""

    def __init__(self, journal: Journal | None, *, key_life: timedelta) -> None:
        self.journal = journal
        self.folders: dict[str, Folder] = {}
        self._keys: OrderedDict[str, Honoured] = OrderedDict()
        self._key_life = key_life
        for effect in journal.recover() if journal is not None else ():
            self._apply(effect)

    def honoured(self, key: str, *, now: datetime) -> Honoured | None:
        """What is remembered of a key, unless its life is over."""
        while self._keys and now - next(iter(self._keys.values())).at >= self._key_life:
            self._keys.popitem(last=False)
        return self._keys.get(key)

    def oldest_named(self, name: str) -> Folder | None:
        """The first folder of that name that is still there."""
        return next((folder for folder in self.folders.values() if folder.name == name), None)

    def record(self, effect: Effect) -> None:
        """Logs the effect under the next number, then lets it happen.

        Raises:
            OSError: the log cannot be written; nothing happened.
        """
        if self.journal is not None:
            self.journal.append({**effect, "seq": self.journal.last_seq + 1})
        self._apply(effect)

    def wipe(self) -> None:
        """Forgets everything, the log included."""
        if self.journal is not None:
            self.journal.clear()
        self.folders.clear()
        self._keys.clear()

    def _apply(self, effect: Effect) -> None:
        if effect["replayed"]:
            return
        uuid = effect["uuid"]
        match effect["kind"]:
            case "create":
                folder = self.folders.setdefault(uuid, Folder(uuid, effect["folder"] or ""))
                _insert(folder, effect["files"])
            case "inject":
                _insert(self.folders[uuid], effect["files"])
            case "update_ticket":
                _state_tickets(self.folders[uuid], effect["files"])
            case "delete":
                self.folders.pop(uuid, None)
        if effect["idempotency_key"] and effect["body_sha256"]:
            at = datetime.fromisoformat(effect["time"]).astimezone(UTC)
            self._keys[effect["idempotency_key"]] = Honoured(effect["body_sha256"], uuid, at)
            self._keys.move_to_end(effect["idempotency_key"])  # a key that was forgotten and used anew


def _insert(folder: Folder, files: list[FileEffect]) -> None:
    for file in files:
        ticket = to_json(file["ticket_info"]) if file["ticket_info"] else None
        row = StoredFile(file["filename"], file["size"], file["token"], ticket, file["link_version"])
        folder.rows.setdefault(row.filename, []).append(row)


def _state_tickets(folder: Folder, files: list[FileEffect]) -> None:
    for file in files:
        if file["ignored"]:
            continue
        ticket = to_json(file["ticket_info"]) if file["ticket_info"] else None
        for row in folder.rows[file["filename"]]:
            row.ticket_json = ticket
            if file["link_version"] is not None:
                row.link_version = file["link_version"]
