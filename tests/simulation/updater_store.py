"""The rules of cloud_updater's tables, over the model.

Stands for the SQL of store.py, ledgers.py, claims.py, pushes.py, resyncs.py, announce_updates.py and predicates.py in
services/cloud_updater; tests hold both to the same on PostgreSQL. Each class has the methods of the one it is named
after, so the service's own folds and steps run over it.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, cast
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import CloudTicketUpdated, RecordingTransferred, TicketLinked
from schemas.topics import CLOUD_TICKET_UPDATED
from services.cloud_updater.announce_updates import Passed
from services.cloud_updater.claims import MAX_BYTES, SHORTEST_WAIT_S, Claimed, Claims
from services.cloud_updater.decisions import MAX_FILES, OwedFile
from services.cloud_updater.ledgers import Ledgers, Quiet
from services.cloud_updater.store import Store, Stored
from shared.announce_once import Lot
from shared.facts import as_record
from shared.own_records import Skimmed
from shared.producer import Outgoing
from shared.reading import Incoming
from tests.simulation.database import Tables, now_of, tables_of


class Recording(NamedTuple):
    """A row of `recording`."""

    recording_id: str
    folder_id: str | None = None
    clouds_uuid: str | None = None
    transfer_version: int = 0
    link_version: int = 0
    known_transfer_version: int = 0
    known_link_version: int = 0
    ticket: str | None = None
    seq: int = 0
    forced: bool = False
    rejected: str | None = None

    @property
    def known(self) -> tuple[int, int]:
        """What the row knows the cloud to show."""
        return self.known_transfer_version, self.known_link_version

    @property
    def wanted(self) -> tuple[int, int]:
        """What the cloud is to show."""
        return self.transfer_version, self.link_version


class Ledger(NamedTuple):
    """A row of `ledger`."""

    clouds_uuid: str
    folder_id: str
    last_seq: int = 0
    cursor: int = 0
    announced_cursor: int = 0
    forced_until: int = 0
    generation: int = 0
    changed_at: datetime | None = None
    owed_since: datetime | None = None
    due_at: datetime | None = None
    lease_token: UUID | None = None
    lease_until: datetime | None = None
    attempts: int = 0
    last_error: str | None = None
    batch_limit: int | None = None
    missing: bool = False
    pushed_at: datetime | None = None


class SyncRequest(NamedTuple):
    """A row of `sync_request`."""

    request_id: str
    force: bool
    recording_ids: tuple[str, ...] | None
    folder_id: str | None
    rate_per_minute: int | None
    received_at: datetime
    after_uuid: str = ""
    made_owed_at: datetime | None = None
    next_at: datetime | None = None
    done_at: datetime | None = None


class UpdaterTables(Tables):
    """services/cloud_updater/tables.py."""

    def __init__(self, made_at: datetime) -> None:
        super().__init__(made_at)
        self.recording: dict[str, Recording] = {}
        self.file: dict[str, str] = {}
        self.ledger: dict[str, Ledger] = {}
        self.claim: dict[str, tuple[UUID, tuple[str, ...]]] = {}
        self.duty: dict[str, datetime] = {}
        self.sync_request: dict[str, SyncRequest] = {}

    def free_leases(self, now: datetime) -> None:
        super().free_leases(now)
        for uuid, row in self.ledger.items():
            if row.lease_until and row.lease_until > now:
                self.ledger[uuid] = row._replace(lease_until=now, due_at=now)

    def made(self, recording_ids: Iterable[str]) -> dict[str, Recording]:
        """Their rows; whoever has none gets an empty one."""
        return {one: self.recording.setdefault(one, Recording(one)) for one in recording_ids}

    def of_folder(self, uuid: str) -> list[Recording]:
        """Its recordings in order of seq."""
        return sorted((one for one in self.recording.values() if one.clouds_uuid == uuid), key=lambda one: one.seq)


def _tables(connection: AsyncConnection) -> UpdaterTables:
    return tables_of(connection, UpdaterTables)


def behind(row: Recording) -> bool:
    """predicates.BEHIND."""
    return row.wanted > row.known


def owed(row: Recording, ledger: Ledger) -> bool:
    """predicates.OWED."""
    return (
        row.seq > ledger.cursor
        and row.rejected is None
        and row.link_version > 0
        and row.known <= row.wanted
        and (row.forced or row.seq <= ledger.forced_until or behind(row))
    )


def shown_up_to(row: Recording, up_to: int) -> bool:
    """predicates._SHOWN_UP_TO."""
    return row.seq <= up_to and row.rejected is None and row.link_version > 0 and behind(row)


def acknowledged(row: Recording, ledger: Ledger | None) -> tuple[int, int]:
    """predicates.ACKNOWLEDGED_*."""
    return row.wanted if ledger and shown_up_to(row, ledger.announced_cursor) else row.known


def still_forced(row: Recording, ledger: Ledger | None) -> bool:
    """predicates.STILL_FORCED."""
    return ledger is not None and (row.forced or row.seq <= ledger.forced_until) and row.seq > ledger.cursor


def with_known(row: Recording, ledger: Ledger | None) -> Recording:
    """What the announced cursor says, written into the row."""
    transfer_version, link_version = acknowledged(row, ledger)
    return row._replace(known_transfer_version=transfer_version, known_link_version=link_version)


class StoreModel(Store):
    """services.cloud_updater.store.Store."""

    async def new_links(self, skimmed: Sequence[Skimmed]) -> set[int]:
        rows = _tables(self._connection).recording
        return {i for i, one in enumerate(skimmed) if one.key not in rows or rows[one.key].link_version < one.order[0]}

    async def new_transfers(self, skimmed: Sequence[Skimmed]) -> set[int]:
        rows = _tables(self._connection).recording
        return {
            i for i, one in enumerate(skimmed) if one.key not in rows or rows[one.key].transfer_version < one.order[0]
        }

    async def new_acknowledgements(self, skimmed: Sequence[Skimmed]) -> set[int]:
        tables = _tables(self._connection)

        def known(recording_id: str) -> tuple[int, ...]:
            row = tables.recording.get(recording_id)
            return acknowledged(row, tables.ledger.get(row.clouds_uuid or "")) if row else ()

        return {i for i, one in enumerate(skimmed) if known(one.key) < one.order}

    async def want(self, links: Sequence[Incoming[TicketLinked]], quiet: Quiet) -> Stored:
        tables = _tables(self._connection)
        rows = tables.made(link.recording_id for link, _ in links)
        newer = [link for link, _ in links if newer_link(rows[link.recording_id], link)]
        changes = [
            Change(
                one.recording_id,
                row.clouds_uuid,
                behind=(row.transfer_version, one.link_version) > row.known,
                patient=one.source == "import",
            )
            for one in newer
            if (row := rows[one.recording_id]).clouds_uuid
        ]
        before = dict(tables.ledger)
        seqs = take_seqs(tables, changes, quiet, now_of(self._connection))
        for link in newer:
            row = rows[link.recording_id]
            ledger = before.get(row.clouds_uuid or "")
            tables.recording[row.recording_id] = with_known(row, ledger)._replace(
                link_version=link.link_version,
                ticket=link.ticket_info.model_dump_json() if link.ticket_info else "null",
                seq=seqs.get(row.recording_id, row.seq),
                rejected=None,
                forced=still_forced(row, ledger),
            )
        return Stored(len(newer), any(one.behind for one in changes))

    async def place(self, transfers: Sequence[RecordingTransferred], quiet: Quiet) -> Stored:
        tables, now = _tables(self._connection), now_of(self._connection)
        rows = tables.made(one.recording_id for one in transfers)
        newer = [one for one in transfers if one.transfer_version > rows[one.recording_id].transfer_version]
        for fact in newer:
            ledger = tables.ledger.setdefault(fact.clouds_uuid, Ledger(fact.clouds_uuid, fact.folder_id))
            if ledger.missing:
                tables.ledger[fact.clouds_uuid] = ledger._replace(missing=False, due_at=now)
        changes = [
            Change(one.recording_id, one.clouds_uuid, _is_behind(one, rows[one.recording_id]), patient=True)
            for one in newer
        ]
        seqs = take_seqs(tables, changes, quiet, now)
        for fact in newer:
            tables.file[fact.recording_id] = fact.file.model_dump_json()
            row = rows[fact.recording_id]
            travelled = (fact.transfer_version, fact.link_version) > row.known
            tables.recording[fact.recording_id] = row._replace(
                folder_id=fact.folder_id,
                clouds_uuid=fact.clouds_uuid,
                transfer_version=fact.transfer_version,
                seq=seqs[fact.recording_id],
                forced=False,
                rejected=None,
                known_transfer_version=max(row.known_transfer_version, fact.transfer_version),
                known_link_version=fact.link_version if travelled else row.known_link_version,
            )
        return Stored(len(newer), any(one.behind for one in changes))

    async def acknowledge(self, newest: Mapping[str, tuple[int, int]]) -> int:
        tables = _tables(self._connection)
        rows = tables.made(newest)
        newer = {one: order for one, order in newest.items() if rows[one].known < order}
        for one, (transfer_version, link_version) in newer.items():
            known = rows[one]._replace(known_transfer_version=transfer_version, known_link_version=link_version)
            tables.recording[one] = known
        return len(newer)


def newer_link(row: Recording, link: TicketLinked) -> bool:
    """Whether the row takes it."""
    return link.link_version > row.link_version


def _is_behind(fact: RecordingTransferred, row: Recording) -> bool:
    wanted = (fact.transfer_version, row.link_version)
    return row.link_version > fact.link_version and wanted > row.known


class Change(NamedTuple):
    """A row of `changes`, as ledgers.WITH_SEQS has it."""

    recording_id: str
    clouds_uuid: str
    behind: bool
    patient: bool


def take_seqs(tables: UpdaterTables, changes: Sequence[Change], quiet: Quiet, now: datetime) -> dict[str, int]:
    """ledgers.WITH_SEQS."""
    by_uuid: dict[str, list[Change]] = defaultdict(list)
    for change in changes:
        by_uuid[change.clouds_uuid].append(change)
    seqs: dict[str, int] = {}
    for uuid, of_folder in by_uuid.items():
        row = tables.ledger[uuid]
        last_seq = row.last_seq + len(of_folder)
        is_behind = any(one.behind for one in of_folder)
        at_once = len(of_folder) == 1 and not of_folder[0].patient
        tables.ledger[uuid] = row._replace(
            last_seq=last_seq,
            cursor=row.cursor if is_behind or row.cursor < row.last_seq else last_seq,
            announced_cursor=row.announced_cursor if is_behind or row.announced_cursor < row.last_seq else last_seq,
            changed_at=now if is_behind else row.changed_at,
            owed_since=(row.owed_since or now) if is_behind else row.owed_since,
            due_at=_due_at(row, quiet, now, last_seq=last_seq, at_once=at_once) if is_behind else row.due_at,
        )
        seqs |= {one.recording_id: row.last_seq + 1 + place for place, one in enumerate(of_folder)}
    return seqs


class LedgersModel(Ledgers):
    """services.cloud_updater.ledgers.Ledgers."""

    async def lock(self, uuids: Iterable[str]) -> None:
        """One transaction at a time: nothing to lock."""


def _due_at(row: Ledger, quiet: Quiet, now: datetime, *, last_seq: int, at_once: bool) -> datetime:
    least = timedelta(seconds=quiet.least_s)
    if row.attempts > 0 and row.due_at is not None:
        return row.due_at
    if at_once and (row.changed_at is None or row.changed_at < now - least):
        return now
    if last_seq - row.cursor >= (row.batch_limit or MAX_FILES):
        return min(row.due_at or now, now)
    return min(now + least, (row.owed_since or now) + timedelta(seconds=quiet.most_s))


class ClaimsModel(Claims):
    """services.cloud_updater.claims.Claims."""

    async def claim(
        self, token: UUID, *, lease_s: float, with_versions: bool, limit: int = 1, requests: int = 1
    ) -> list[Claimed]:
        tables, now = _tables(self._connection), now_of(self._connection)
        until = now + timedelta(seconds=lease_s)
        due = [
            one
            for one in tables.ledger.values()
            if _claimable(one, tables)
            and one.due_at is not None
            and one.due_at <= now
            and (one.lease_until is None or one.lease_until < now)
        ]
        claimed = []
        taken = sorted(due, key=lambda one: one.due_at or now)[:limit]
        for one in taken:
            tables.ledger[one.clouds_uuid] = one._replace(lease_token=token, lease_until=until, due_at=until)
            found, more = _gather(one, tables, max(1, requests // len(taken)))
            requested = []
            for place in range(0, max(1, len(found)), MAX_FILES):
                files = found[place : place + MAX_FILES]
                others = more or len(found) > place + MAX_FILES
                requested.append(
                    Claimed(
                        one.clouds_uuid,
                        token,
                        one.generation,
                        one.attempts if place == 0 else 0,
                        files[-1].seq if others else one.last_seq,
                        len(files) if others else MAX_FILES,
                        files,
                        _body(files, tables, with_versions=with_versions) if files else b"",
                    )
                )
            first, *then = requested
            claimed.append(replace(first, then=[one for one in then if len(one.files) == MAX_FILES]))
        return claimed

    async def next_due_s(self) -> float | None:
        tables, now = _tables(self._connection), now_of(self._connection)
        due = [
            max(one.due_at, one.lease_until or one.due_at)
            for one in tables.ledger.values()
            if one.due_at is not None and _claimable(one, tables)
        ]
        return max((min(due) - now).total_seconds(), SHORTEST_WAIT_S) if due else None

    async def note(self, claimed: Claimed) -> None:
        ids = tuple(file.recording_id for one in (claimed, *claimed.then) for file in one.files)
        _tables(self._connection).claim[claimed.clouds_uuid] = (claimed.token, ids)

    async def end_claim(self, claimed: Claimed, *, may_take_effect: bool, second_push_after_s: float) -> None:
        claims = _tables(self._connection).claim
        noted = claims.get(claimed.clouds_uuid)
        if noted is None or noted[0] != claimed.token:
            return
        del claims[claimed.clouds_uuid]
        if may_take_effect:
            self._oblige([one.recording_id for one in claimed.files], second_push_after_s)

    async def push_once_more(self, files: Sequence[OwedFile], *, after_s: float) -> None:
        self._oblige([one.recording_id for one in files], after_s)

    async def end_claims_of_the_dead(self, *, second_push_after_s: float) -> int:
        tables, now = _tables(self._connection), now_of(self._connection)
        made = 0
        for uuid, (token, ids) in list(tables.claim.items()):
            ledger = tables.ledger.get(uuid)
            if ledger and ledger.lease_token == token and ledger.lease_until and ledger.lease_until >= now:
                continue
            del tables.claim[uuid]
            self._oblige(ids, second_push_after_s)
            made += len(set(ids))
        return made

    async def due_duties(self, limit: int) -> Collection[str]:
        duties, now = _tables(self._connection).duty, now_of(self._connection)
        due = sorted(one for one, due_at in duties.items() if due_at <= now)[:limit]
        for one in due:
            del duties[one]
        return due

    def _oblige(self, recording_ids: Iterable[str], after_s: float) -> None:
        due_at = now_of(self._connection) + timedelta(seconds=after_s)
        _tables(self._connection).duty.update(dict.fromkeys(recording_ids, due_at))


def _claimable(ledger: Ledger, tables: UpdaterTables) -> bool:
    return not ledger.missing and ledger.clouds_uuid not in tables.claim


def _gather(ledger: Ledger, tables: UpdaterTables, requests: int) -> tuple[list[OwedFile], bool]:
    limit = ledger.batch_limit or MAX_FILES * requests
    rows = [one for one in tables.of_folder(ledger.clouds_uuid) if owed(one, ledger)][: limit + 1]
    files: list[OwedFile] = []
    size_bytes = 0
    for one in rows:
        size_bytes += len(tables.file[one.recording_id].encode()) + len((one.ticket or "").encode()) + 100
        if files and (len(files) >= limit or size_bytes > MAX_BYTES):
            break
        files.append(OwedFile(one.recording_id, one.seq, one.link_version))
    return files, len(rows) > len(files)


def _body(files: Iterable[OwedFile], tables: UpdaterTables, *, with_versions: bool) -> bytes:
    parts = (
        f'{tables.file[one.recording_id][:-1]},"ticket_info":{tables.recording[one.recording_id].ticket}'
        + (f',"link_version":{one.link_version}}}' if with_versions else "}")
        for one in files
    )
    return f'{{"files":[{",".join(parts)}]}}'.encode()


async def next_lot(connection: AsyncConnection, *, limit: int = 5_000) -> Lot | None:
    """services.cloud_updater.announce_updates.next_lot."""
    tables = _tables(connection)
    folders = [one for _, one in sorted(tables.ledger.items()) if one.announced_cursor < one.cursor]
    if not folders:
        return None
    records = [
        record_of(
            recording_id=row.recording_id,
            clouds_uuid=ledger.clouds_uuid,
            transfer_version=row.transfer_version,
            link_version=row.link_version,
            pushed_at=cast("datetime", ledger.pushed_at),
        )
        for ledger in folders
        for row in tables.of_folder(ledger.clouds_uuid)
        if row.seq > ledger.announced_cursor and shown_up_to(row, ledger.cursor)
    ][:limit]
    passed = [Passed(one.clouds_uuid, one.generation, one.cursor) for one in folders]
    return Lot(records, full=False, mark=partial(mark, passed=passed))


def record_of(
    *, recording_id: str, clouds_uuid: str, transfer_version: int, link_version: int, pushed_at: datetime
) -> Outgoing:
    """What announces that the cloud has acknowledged a link."""
    fact = CloudTicketUpdated(
        recording_id=recording_id,
        clouds_uuid=clouds_uuid,
        transfer_version=transfer_version,
        link_version=link_version,
        updated_at=pushed_at,
    )
    version = f"{transfer_version}.{link_version}"
    return as_record(
        CLOUD_TICKET_UPDATED, fact, key=recording_id, version=version, source="cloud_updater", time=pushed_at
    )


async def forget_announced(connection: AsyncConnection) -> None:
    """services.cloud_updater.announce_updates.forget_announced."""
    tables = _tables(connection)
    for uuid, ledger in tables.ledger.items():
        for row in tables.of_folder(uuid) if ledger.pushed_at else []:
            said = 1 <= row.seq <= ledger.cursor and row.rejected is None and row.link_version > 0
            if said and row.known == row.wanted:
                tables.recording[row.recording_id] = row._replace(known_transfer_version=0, known_link_version=0)
        tables.ledger[uuid] = ledger._replace(announced_cursor=0)


async def mark(connection: AsyncConnection, *, passed: Sequence[Passed]) -> None:
    """services.cloud_updater.announce_updates._mark."""
    ledgers = _tables(connection).ledger
    for one in passed:
        row = ledgers.get(one.clouds_uuid)
        if row and row.generation == one.generation:
            ledgers[one.clouds_uuid] = row._replace(announced_cursor=max(row.announced_cursor, one.up_to_seq))
