"""The SQL of the folds: what is wanted, where it is, what is known, and the seq that tells a push of a change.

Locks are taken in one order, here and in resyncs.py: recordings sorted by id, then ledgers sorted by uuid. Both folds
that concern a recording lock its row (making it if need be), so that of a link and a transfer that come at the same
moment the later one sees the earlier one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingTransferred, TicketLinked


@dataclass(frozen=True)
class Quiet:
    """How long a folder must be without a change before it is pushed, and how long that may take at most; seconds."""

    least_s: float
    most_s: float


@dataclass(frozen=True)
class RecordingRow:
    """A recording's versions and its place in the cloud."""

    recording_id: str
    clouds_uuid: str | None
    transfer_version: int
    link_version: int


class Store:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def link_versions(self, recording_ids: Collection[str]) -> dict[str, int]:
        """Version of the wanted link of those that are known; nothing is locked."""
        rows = await self._connection.execute(
            text("select recording_id, link_version from recording where recording_id = any(:ids)"),
            {"ids": list(recording_ids)},
        )
        return {row.recording_id: row.link_version for row in rows}

    async def transfer_versions(self, recording_ids: Collection[str]) -> dict[str, int]:
        """Version of the transfer of those that are known; nothing is locked."""
        rows = await self._connection.execute(
            text("select recording_id, transfer_version from recording where recording_id = any(:ids)"),
            {"ids": list(recording_ids)},
        )
        return {row.recording_id: row.transfer_version for row in rows}

    async def acknowledged_versions(self, recording_ids: Collection[str]) -> dict[str, tuple[int, int]]:
        """Newest acknowledgement (transfer_version, link_version) of those that are known; nothing is locked."""
        rows = await self._connection.execute(
            text("""
                select recording_id, known_transfer_version, known_link_version from recording
                where recording_id = any(:ids)
            """),
            {"ids": list(recording_ids)},
        )
        return {row.recording_id: (row.known_transfer_version, row.known_link_version) for row in rows}

    async def lock(self, recording_ids: Collection[str]) -> dict[str, RecordingRow]:
        """The rows of these recordings, locked; whoever has none gets an empty one."""
        ids = sorted(recording_ids)
        await self._connection.execute(
            text("""
                insert into recording (recording_id, transfer_version, link_version, known_transfer_version,
                                       known_link_version, seq, forced)
                select recording_id, 0, 0, 0, 0, 0, false
                from unnest(cast(:ids as text[])) as u (recording_id)
                where not exists (select from recording r where r.recording_id = u.recording_id)
                order by recording_id
                on conflict do nothing
            """),
            {"ids": ids},
        )
        rows = await self._connection.execute(
            text("""
                select recording_id, clouds_uuid, transfer_version, link_version from recording
                where recording_id = any(:ids) order by recording_id for update
            """),
            {"ids": ids},
        )
        return {row.recording_id: RecordingRow(*row) for row in rows}

    async def want(self, links: Collection[TicketLinked]) -> None:
        """Store newer links. The rows are locked."""
        ids = [one.recording_id for one in links]
        await self._connection.execute(
            text("""
                insert into ticket (recording_id, body)
                select * from unnest(cast(:ids as text[]), cast(:bodies as text[]))
                on conflict (recording_id) do update set body = excluded.body
            """),
            {
                "ids": ids,
                "bodies": [one.ticket_info.model_dump_json() if one.ticket_info else "null" for one in links],
            },
        )
        await self._connection.execute(
            text("""
                update recording set link_version = u.link_version
                from unnest(cast(:ids as text[]), cast(:versions as int[])) as u (recording_id, link_version)
                where recording.recording_id = u.recording_id
            """),
            {"ids": ids, "versions": [one.link_version for one in links]},
        )

    async def place(self, transfers: Collection[RecordingTransferred]) -> list[RecordingRow]:
        """Store newer transfers; the link that travelled is known there. The rows are locked.

        Returns them as they are now, off their old folder: its seq, and what was forced there, say nothing of the new.
        """
        await self._connection.execute(
            text("""
                insert into file (recording_id, body)
                select * from unnest(cast(:ids as text[]), cast(:bodies as text[]))
                on conflict (recording_id) do update set body = excluded.body
            """),
            {
                "ids": [one.recording_id for one in transfers],
                "bodies": [one.file.model_dump_json() for one in transfers],
            },
        )
        rows = await self._connection.execute(
            text("""
                update recording set
                    folder_id = u.folder_id, clouds_uuid = u.clouds_uuid, transfer_version = u.transfer_version,
                    seq = 0, forced = false, rejected = null,
                    (known_transfer_version, known_link_version) = (
                        select * from (values (u.transfer_version, u.link_version),
                                              (known_transfer_version, known_link_version)) as known (t, l)
                        order by t desc, l desc limit 1)
                from unnest(cast(:ids as text[]), cast(:folders as text[]), cast(:uuids as text[]),
                            cast(:versions as int[]), cast(:links as int[]))
                    as u (recording_id, folder_id, clouds_uuid, transfer_version, link_version)
                where recording.recording_id = u.recording_id
                returning recording.recording_id, recording.clouds_uuid, recording.transfer_version,
                    recording.link_version
            """),
            {
                "ids": [one.recording_id for one in transfers],
                "folders": [one.folder_id for one in transfers],
                "uuids": [one.clouds_uuid for one in transfers],
                "versions": [one.transfer_version for one in transfers],
                "links": [one.link_version for one in transfers],
            },
        )
        await self._connection.execute(
            text("""
                insert into ledger (clouds_uuid, folder_id, last_seq, cursor, heard_cursor, forced_until, generation,
                                    attempts, missing)
                select distinct on (clouds_uuid) clouds_uuid, folder_id, 0, 0, 0, 0, 0, 0, false
                from unnest(cast(:uuids as text[]), cast(:folders as text[])) as u (clouds_uuid, folder_id)
                order by clouds_uuid
                on conflict (clouds_uuid) do update set missing = false where ledger.missing
            """),
            {"uuids": [one.clouds_uuid for one in transfers], "folders": [one.folder_id for one in transfers]},
        )
        return [RecordingRow(*row) for row in rows]

    async def change(self, rows: Sequence[RecordingRow], *, quiet: Quiet, patient: Collection[str]) -> None:
        """Give each of these placed, locked rows the next seq of its folder, and say when the folder is to be pushed.

        A single change on a quiet folder goes at once, unless its recording is among `patient`; otherwise the folder is
        pushed when it has been quiet for a moment. A folder that failed keeps the time of its next try.
        """
        changed: dict[str, list[str]] = defaultdict(list)
        for row in rows:
            changed[str(row.clouds_uuid)].append(row.recording_id)
        at_once = [uuid for uuid, ids in changed.items() if len(ids) == 1 and ids[0] not in patient]
        first_seqs = await self._next_seqs({uuid: len(ids) for uuid, ids in changed.items()}, at_once, quiet)
        await self.number(changed, first_seqs, forced=False)

    async def number(
        self, changed: Mapping[str, Sequence[str]], first_seqs: Mapping[str, int], *, forced: bool
    ) -> None:
        """Write the seqs of `changed` (uuid → recordings), counted from `first_seqs`.

        A new seq takes back a rejection. What was forced and is not pushed yet stays forced. The ledgers are locked.
        """
        numbered = [(one, first_seqs[uuid] + i) for uuid, ids in changed.items() for i, one in enumerate(ids)]
        await self._connection.execute(
            text("""
                update recording set
                    seq = u.seq, rejected = null,
                    forced = :forced or ((forced or recording.seq <= l.forced_until) and recording.seq > l.cursor)
                from unnest(cast(:ids as text[]), cast(:seqs as bigint[])) as u (recording_id, seq), ledger l
                where recording.recording_id = u.recording_id and l.clouds_uuid = recording.clouds_uuid
            """),
            {"ids": [one for one, _ in numbered], "seqs": [seq for _, seq in numbered], "forced": forced},
        )

    async def _next_seqs(self, counts: Mapping[str, int], at_once: Collection[str], quiet: Quiet) -> dict[str, int]:
        """Take `counts[uuid]` seqs of each ledger; returns the first of each."""
        await self.lock_ledgers(counts)
        rows = await self._connection.execute(
            text("""
                update ledger set
                    last_seq = last_seq + u.count,
                    changed_at = now(),
                    owed_since = coalesce(owed_since, now()),
                    due_at = case
                        when attempts > 0 and due_at is not null then due_at
                        when u.at_once and (changed_at is null or changed_at < now() - make_interval(secs => :least_s))
                            then now()
                        else least(now() + make_interval(secs => :least_s),
                                   coalesce(owed_since, now()) + make_interval(secs => :most_s))
                    end
                from unnest(cast(:uuids as text[]), cast(:counts as bigint[]), cast(:at_once as boolean[]))
                    as u (clouds_uuid, count, at_once)
                where ledger.clouds_uuid = u.clouds_uuid
                returning ledger.clouds_uuid, last_seq - u.count + 1 as first_seq
            """),
            {
                "uuids": list(counts),
                "counts": list(counts.values()),
                "at_once": [uuid in at_once for uuid in counts],
                "least_s": quiet.least_s,
                "most_s": quiet.most_s,
            },
        )
        return {row.clouds_uuid: row.first_seq for row in rows}

    async def lock_ledgers(self, uuids: Iterable[str]) -> None:
        """Lock these ledgers in sorted order; the last locks that a transaction takes."""
        await self._connection.execute(
            text("select from ledger where clouds_uuid = any(:uuids) order by clouds_uuid for update"),
            {"uuids": list(uuids)},
        )

    async def acknowledge(self, newer: Mapping[str, tuple[int, int]]) -> int:
        """Store acknowledgements (transfer_version, link_version) that are newer than known; returns how many were.

        The rows are locked.
        """
        stored = await self._connection.execute(
            text("""
                update recording set
                    known_transfer_version = u.transfer_version, known_link_version = u.link_version
                from unnest(cast(:ids as text[]), cast(:transfers as int[]), cast(:links as int[]))
                    as u (recording_id, transfer_version, link_version)
                where recording.recording_id = u.recording_id
                    and (known_transfer_version, known_link_version) < (u.transfer_version, u.link_version)
            """),
            {
                "ids": list(newer),
                "transfers": [transfer_version for transfer_version, _ in newer.values()],
                "links": [link_version for _, link_version in newer.values()],
            },
        )
        return stored.rowcount
