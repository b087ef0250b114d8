"""The SQL of the folds: what is wanted, where it is, and what is known of the cloud.

Locks are taken in one order, here and in resyncs.py: recordings sorted by id, then ledgers sorted by uuid. Both folds
that concern a recording lock its row (making it if need be), so that of a link and a transfer that come at the same
moment the later one sees the earlier one.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingTransferred, TicketLinked
from services.cloud_updater.predicates import ACKNOWLEDGED_LINK, ACKNOWLEDGED_TRANSFER, STILL_FORCED
from shared.arrays import with_arrays
from shared.batch import Incoming
from shared.own_records import Skimmed
from shared.places import place_of


class RecordingRow(NamedTuple):
    """A recording's versions and its place in the cloud. `known`: what the row knows the cloud to show."""

    recording_id: str
    clouds_uuid: str | None
    transfer_version: int
    link_version: int
    known: tuple[int, int]


class Store:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def new_links(self, skimmed: Sequence[Skimmed]) -> set[int]:
        """The places of those whose link_version the recording does not have yet; nothing is locked."""
        found = await self._connection.scalars(
            with_arrays("""
                select place - 1 from unnest(cast(:ids as text[]), cast(:versions as int[]))
                    with ordinality as u (recording_id, link_version, place)
                where not exists (
                    select from recording r where r.recording_id = u.recording_id and r.link_version >= u.link_version)
            """),
            {"ids": [one.key for one in skimmed], "versions": [one.order[0] for one in skimmed]},
        )
        return set(found)

    async def new_transfers(self, skimmed: Sequence[Skimmed]) -> set[int]:
        """The places of those whose transfer_version the recording does not have yet; nothing is locked."""
        found = await self._connection.scalars(
            with_arrays("""
                select place - 1 from unnest(cast(:ids as text[]), cast(:versions as int[]))
                    with ordinality as u (recording_id, transfer_version, place)
                where not exists (
                    select from recording r
                    where r.recording_id = u.recording_id and r.transfer_version >= u.transfer_version)
            """),
            {"ids": [one.key for one in skimmed], "versions": [one.order[0] for one in skimmed]},
        )
        return set(found)

    async def new_acknowledgements(self, skimmed: Sequence[Skimmed]) -> set[int]:
        """The places of those that neither the row nor the ledger's announced cursor knows; nothing is locked."""
        found = await self._connection.scalars(
            with_arrays(f"""
                select place - 1 from unnest(cast(:ids as text[]), cast(:transfers as int[]), cast(:links as int[]))
                    with ordinality as u (recording_id, transfer_version, link_version, place)
                where not exists (
                    select from recording r left join ledger l using (clouds_uuid)
                    where r.recording_id = u.recording_id
                        and ({ACKNOWLEDGED_TRANSFER}, {ACKNOWLEDGED_LINK}) >= (u.transfer_version, u.link_version))
            """),  # noqa: S608  # this module's own text
            {
                "ids": [one.key for one in skimmed],
                "transfers": [one.order[0] for one in skimmed],
                "links": [one.order[1] for one in skimmed],
            },
        )
        return set(found)

    async def lock(self, recording_ids: Collection[str]) -> dict[str, RecordingRow]:
        """The rows of these recordings, locked; whoever has none gets an empty one."""
        ids = sorted(recording_ids)
        await self._connection.execute(
            with_arrays("""
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
            with_arrays("""
                select recording_id, clouds_uuid, transfer_version, link_version, known_transfer_version,
                    known_link_version
                from recording where recording_id = any(cast(:ids as text[])) order by recording_id for update
            """),
            {"ids": ids},
        )
        return {
            one: RecordingRow(one, uuid, transfer_version, link_version, (known_transfer, known_link))
            for one, uuid, transfer_version, link_version, known_transfer, known_link in rows
        }

    async def want(
        self, wanted: Collection[Incoming[TicketLinked]], rows: Mapping[str, RecordingRow], seqs: Mapping[str, int]
    ) -> None:
        """Store newer links, those of placed recordings under their new seqs. The rows and their ledgers are locked.

        A new seq takes back a rejection. What was forced and is not pushed yet stays forced.
        """
        links = [one.event for one in wanted]
        ids = [one.recording_id for one in links]
        await self._connection.execute(
            with_arrays(f"""
                with stored as (
                    insert into ticket (recording_id, body)
                    select * from unnest(cast(:ids as text[]), cast(:bodies as text[]))
                    on conflict (recording_id) do update set body = excluded.body
                )
                update recording r set
                    link_version = u.link_version, link_place = u.place,
                    seq = coalesce(u.seq, r.seq), rejected = null,
                    forced = {STILL_FORCED},
                    known_transfer_version = {ACKNOWLEDGED_TRANSFER}, known_link_version = {ACKNOWLEDGED_LINK}
                from unnest(cast(:ids as text[]), cast(:versions as int[]), cast(:seqs as bigint[]),
                            cast(:uuids as text[]), cast(:places as bigint[]))
                        as u (recording_id, link_version, seq, clouds_uuid, place)
                    left join ledger l using (clouds_uuid)
                where r.recording_id = u.recording_id
            """),  # noqa: S608  # this module's own text
            {
                "ids": ids,
                "bodies": [one.ticket_info.model_dump_json() if one.ticket_info else "null" for one in links],
                "versions": [one.link_version for one in links],
                "seqs": [seqs.get(one) for one in ids],
                "uuids": [rows[one].clouds_uuid for one in ids],
                "places": [place_of(one.record) for one in wanted],
            },
        )

    async def place(self, transfers: Collection[RecordingTransferred], seqs: Mapping[str, int]) -> None:
        """Store newer transfers under their new seqs; the link that travelled is known there. The rows are locked.

        What was forced or rejected in the old folder says nothing of the new one.
        """
        await self._connection.execute(
            with_arrays("""
                with stored as (
                    insert into file (recording_id, body)
                    select * from unnest(cast(:ids as text[]), cast(:bodies as text[]))
                    on conflict (recording_id) do update set body = excluded.body
                )
                update recording r set
                    folder_id = u.folder_id, clouds_uuid = u.clouds_uuid, transfer_version = u.transfer_version,
                    seq = u.seq, forced = false, rejected = null,
                    known_transfer_version = greatest(r.known_transfer_version, u.transfer_version),
                    known_link_version = case
                        when (u.transfer_version, u.link_version) > (r.known_transfer_version, r.known_link_version)
                            then u.link_version else r.known_link_version end
                from unnest(cast(:ids as text[]), cast(:folders as text[]), cast(:uuids as text[]),
                            cast(:versions as int[]), cast(:links as int[]), cast(:seqs as bigint[]))
                    as u (recording_id, folder_id, clouds_uuid, transfer_version, link_version, seq)
                where r.recording_id = u.recording_id
            """),
            {
                "ids": [one.recording_id for one in transfers],
                "bodies": [one.file.model_dump_json() for one in transfers],
                "folders": [one.folder_id for one in transfers],
                "uuids": [one.clouds_uuid for one in transfers],
                "versions": [one.transfer_version for one in transfers],
                "links": [one.link_version for one in transfers],
                "seqs": [seqs[one.recording_id] for one in transfers],
            },
        )

    async def acknowledge(self, newer: Mapping[str, tuple[int, int]]) -> int:
        """Store acknowledgements (transfer_version, link_version) that are newer than known; returns how many were.

        The rows are locked.
        """
        stored = await self._connection.execute(
            with_arrays("""
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
