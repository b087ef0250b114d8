"""The rules of linker's tables about recordings and links, over the model.

Stands for the SQL of store_catalogue.py, store_candidates.py, store_links.py and announce_links.py in services/linker;
tests hold both to the same on PostgreSQL. Each class has the methods of the one it is named after, so the service's own
folds and steps run over it.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from pydantic_core import from_json
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import CloudTicketUpdated, RecordingProcessed, RecordingTransferred, TicketInfo, TicketLinked
from schemas.topics import TICKET_LINKED
from services.linker.decisions import CurrentLink, KnownRecording, LinkRequest
from services.linker.link_rows import LinkRow
from services.linker.store_candidates import Candidates
from services.linker.store_catalogue import Catalogue, Known
from services.linker.store_links import Links
from services.linker.target import Target
from shared.facts import as_record
from shared.own_records import Skimmed
from shared.places import place_of
from shared.producer import Outgoing
from shared.reading import Incoming
from tests.simulation.database import Tables, tables_of

CANDIDATES_MAX = 10


class Recording(NamedTuple):
    """A row of `recording`, with the columns that are generated from the others as properties."""

    recording_id: str
    arrived: int
    processed: RecordingProcessed | None = None
    content_hash: str = ""
    transferred: RecordingTransferred | None = None
    known: tuple[int, int] = (0, 0)

    @property
    def order(self) -> tuple[int, datetime, str] | None:
        """Of the newest RecordingProcessed."""
        return (self.processed.revision, self.processed.processed_at, self.content_hash) if self.processed else None

    @property
    def transfer_version(self) -> int:
        """0: not transferred."""
        return self.transferred.transfer_version if self.transferred else 0

    @property
    def folder_id(self) -> str | None:
        """Once transferred, that of the transfer."""
        fact = self.transferred or self.processed
        return fact.folder_id if fact else None

    @property
    def folder_name(self) -> str | None:
        """Known only of the folder that it was processed in."""
        return self.processed.folder_name if self.processed and self.processed.folder_id == self.folder_id else None

    @property
    def filename(self) -> str | None:
        """Once transferred, that of the transfer."""
        if self.transferred:
            return self.transferred.file.filename
        return self.processed.filename if self.processed else None

    @property
    def names(self) -> tuple[str | None, str | None]:
        """name_key and stem_key."""
        key = None if self.filename is None else unicodedata.normalize("NFC", self.filename)
        return key, None if key is None else stem(key)

    @property
    def described(self) -> KnownRecording:
        """As decisions see it."""
        fact = self.processed
        called_at = (fact.recorded_at or fact.processed_at) if fact else None
        return KnownRecording(self.recording_id, self.folder_id or "", self.folder_name, self.filename or "", called_at)


def stem(name: str) -> str:
    """store_parked.STEM."""
    return re.sub(r"(.)\.[^\W_]{1,10}$", r"\1", name, flags=re.DOTALL)


class Link(NamedTuple):
    """A row of `link`: what announces it, and the newest request seen."""

    recording_id: str
    folder_id: str
    filename: str
    link_version: int
    ticket: str | None
    source: str
    request_id: str
    requested_at: datetime
    linked_by: str | None
    import_id: str | None
    occurred_at: datetime
    last_requested_at: datetime
    last_request_id: str


class Parked(NamedTuple):
    """A row of `parked_link`."""

    request: LinkRequest
    parked_at: datetime
    fresh: bool
    state: str
    applied_to: str | None = None


class LinkerTables(Tables):
    """services/linker/tables.py, without imports and uploads."""

    def __init__(self, made_at: datetime) -> None:
        super().__init__(made_at)
        self.recording: dict[str, Recording] = {}
        self.arrivals: dict[str, int] = {"last": 0}
        self.link: dict[str, Link] = {}
        self.unheard_link: dict[str, str] = {}
        self.link_history: dict[tuple[str, int], tuple[str | None, str]] = {}
        self.parked_link: dict[tuple[str, str], Parked] = {}
        self.arrival: dict[str, None] = {}

    def of(self, recording_id: str) -> Recording:
        """Its row, or a new one."""
        if recording_id in self.recording:
            return self.recording[recording_id]
        self.arrivals["last"] += 1
        return Recording(recording_id, self.arrivals["last"])


def _tables(connection: AsyncConnection) -> LinkerTables:
    return tables_of(connection, LinkerTables)


class CatalogueModel(Catalogue):
    """services.linker.store_catalogue.Catalogue."""

    async def process(self, facts: Iterable[Incoming[RecordingProcessed]]) -> int:
        tables = _tables(self._connection)
        newer = set()
        for fact, _ in facts:
            content_hash = hashlib.sha256(fact.model_dump_json().encode()).hexdigest()
            row = tables.of(fact.recording_id)
            if row.order is None or (fact.revision, fact.processed_at, content_hash) > row.order:
                tables.recording[fact.recording_id] = row._replace(processed=fact, content_hash=content_hash)
                newer.add(fact.recording_id)
        tables.arrival.update(dict.fromkeys(newer))
        return len(newer)

    async def transfer(self, facts: Iterable[Incoming[RecordingTransferred]]) -> int:
        tables = _tables(self._connection)
        newest: dict[str, RecordingTransferred] = {}
        for fact, _ in facts:
            if fact.recording_id not in newest or fact.transfer_version > newest[fact.recording_id].transfer_version:
                newest[fact.recording_id] = fact
        newer = set()
        for fact in newest.values():
            row = tables.of(fact.recording_id)
            if fact.transfer_version > row.transfer_version:
                tables.recording[fact.recording_id] = row._replace(transferred=fact)
                newer.add(fact.recording_id)
        tables.arrival.update(dict.fromkeys(newer))
        await self.know(
            {
                one.recording_id: Known(one.transfer_version, one.link_version, one.transferred_at, None)
                for one in newest.values()
            }
        )
        return len(newer)

    async def acknowledge(self, facts: Iterable[Incoming[CloudTicketUpdated]]) -> int:
        newest: dict[str, Known] = {}
        for fact, record in facts:
            known = Known(fact.transfer_version, fact.link_version, fact.updated_at, place_of(record))
            if fact.recording_id not in newest or known.order > newest[fact.recording_id].order:
                newest[fact.recording_id] = known
        return await self.know(newest)

    async def know(self, links: Mapping[str, Known]) -> int:
        tables = _tables(self._connection)
        news = 0
        for one, known in links.items():
            row = tables.of(one)
            if known.order > row.known:
                tables.recording[one] = row._replace(known=known.order)
                news += 1
        return news

    async def lock(self, recording_ids: Collection[str]) -> None:
        """One transaction at a time: nothing to lock."""


class CandidatesModel(Candidates):
    """services.linker.store_candidates.Candidates."""

    async def of(self, targets: Sequence[Target]) -> list[list[KnownRecording]]:
        return [[one.described for one in self._fitting(target)][:CANDIDATES_MAX] for target in targets]

    def _fitting(self, target: Target) -> list[Recording]:
        rows = _tables(self._connection).recording
        if target.recording_id is not None:
            row = rows.get(target.recording_id)
            return [row] if row and row.filename is not None else []
        fitting = [one for one in rows.values() if _is_named(one, target)]
        if target.folder is not None:
            by_id = any(one.folder_id == target.folder for one in rows.values())
            fitting = [one for one in fitting if target.folder == (one.folder_id if by_id else one.folder_name)]
        return sorted(fitting, key=lambda one: one.arrived)


def _is_named(row: Recording, target: Target) -> bool:
    name_key, stem_key = row.names
    return target.name_key in ((name_key,) if target.has_extension else (name_key, stem_key))


class LinksModel(Links):
    """services.linker.store_links.Links."""

    async def current(self, recording_ids: Collection[str]) -> dict[str, CurrentLink]:
        rows = _tables(self._connection).link
        return {
            one: CurrentLink(
                row.link_version,
                TicketInfo.model_validate_json(row.ticket) if row.ticket else None,
                row.request_id,
                (row.last_requested_at, row.last_request_id),
            )
            for one in recording_ids
            if (row := rows.get(one))
        }

    async def made_at(self) -> datetime:
        return _tables(self._connection).origin["created_at"]

    async def were_before(self, moment: datetime) -> bool:
        rows = _tables(self._connection).link.values()
        return any(one.link_version > 0 and one.occurred_at < moment for one in rows)

    async def versions(self, recording_ids: Collection[str]) -> dict[str, tuple[int, str, bool]]:
        tables = _tables(self._connection)
        found = [tables.link[one] for one in recording_ids if one in tables.link]
        return {
            one.recording_id: (one.link_version, one.request_id, one.recording_id not in tables.unheard_link)
            for one in found
        }

    async def hear_newest(self, links: Collection[tuple[str, int, str]]) -> bool:
        rows = _tables(self._connection).link
        standing = {(one.recording_id, one.link_version, one.request_id) for one in rows.values()}
        are_all = standing.issuperset(links)
        if are_all:
            await self.strike_off({recording_id: link_version for recording_id, link_version, _ in links})
        return are_all

    async def store(self, links: Sequence[LinkRow]) -> None:
        tables = _tables(self._connection)
        for one in links:
            ticket = one.ticket.model_dump_json() if one.ticket else None
            if one.link_version > 0:
                tables.link_history.setdefault((one.recording_id, one.link_version), (ticket, one.request_id))
        for one in {link.recording_id: link for link in links}.values():
            row = tables.link.get(one.recording_id)
            if row is not None and row.link_version >= one.link_version:
                continue
            tables.link[one.recording_id] = Link(
                one.recording_id,
                one.folder_id,
                one.filename,
                one.link_version,
                one.ticket.model_dump_json() if one.ticket else None,
                one.source,
                one.request_id,
                one.requested_at,
                one.linked_by,
                one.import_id,
                one.occurred_at,
                one.requested_at,
                one.request_id,
            )
            self._unhear([one.recording_id])

    async def lift(self, versions: Mapping[str, int]) -> None:
        tables = _tables(self._connection)
        for one, version in versions.items():
            row = tables.link[one]
            if row.link_version < version:
                tables.link[one] = row._replace(link_version=version)
                tables.link_history.setdefault((one, version), (row.ticket, row.request_id))
                self._unhear([one])

    async def touch(self, requests: Mapping[str, LinkRequest]) -> None:
        rows = _tables(self._connection).link
        for one, request in requests.items():
            rows[one] = rows[one]._replace(last_requested_at=request.requested_at, last_request_id=request.request_id)

    async def strike_off(self, versions: Mapping[str, int]) -> None:
        tables = _tables(self._connection)
        for one, version in versions.items():
            if one in tables.link and tables.link[one].link_version == version:
                tables.unheard_link.pop(one, None)

    async def hear(self, versions: Mapping[str, int]) -> None:
        tables = _tables(self._connection)
        for one, version in versions.items():
            if one not in tables.link:
                continue
            if tables.link[one].link_version == version:
                tables.unheard_link.pop(one, None)
            else:
                tables.unheard_link.setdefault(one, tables.link[one].folder_id)

    async def lock(self, recording_ids: Collection[str]) -> None:
        """One transaction at a time: nothing to lock."""

    def _unhear(self, recording_ids: Iterable[str]) -> None:
        tables = _tables(self._connection)
        for one in recording_ids:
            if tables.link[one].link_version > 0:
                tables.unheard_link[one] = tables.link[one].folder_id


async def unheard(connection: AsyncConnection, limit: int) -> Mapping[str, object]:
    """services.linker.announce_links.unheard."""
    tables = _tables(connection)
    places = sorted((folder_id, one) for one, folder_id in tables.unheard_link.items())
    return {one: tables.link[one].link_version for _, one in places[:limit]}


async def forget_heard(connection: AsyncConnection) -> None:
    """services.linker.announce_links.forget_heard."""
    tables = _tables(connection)
    for one, row in tables.link.items():
        if row.link_version > 0:
            tables.unheard_link.setdefault(one, row.folder_id)


async def facts(connection: AsyncConnection, recording_ids: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
    """services.linker.announce_links.facts."""
    rows = _tables(connection).link
    found = sorted(
        (rows[one] for one in recording_ids if one in rows), key=lambda one: (one.folder_id, one.recording_id)
    )
    return {one.recording_id: (one.link_version, _record_of(one)) for one in found}


def _record_of(row: Link) -> Outgoing:
    fact = TicketLinked.model_validate({**row._asdict(), "ticket_info": from_json(row.ticket) if row.ticket else None})
    return as_record(
        TICKET_LINKED,
        fact,
        key=row.recording_id,
        version=str(row.link_version),
        source="linker",
        time=row.occurred_at,
        says=Skimmed(row.recording_id, (row.link_version,), row.request_id),
    )
