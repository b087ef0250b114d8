"""The SQL of the catalogue: recordings as the facts describe them. Finding the one that a request means is in
store_candidates.py.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import CloudTicketUpdated, RecordingProcessed, RecordingTransferred
from shared.arrays import with_arrays
from shared.places import place_of
from shared.reading import Incoming


class Known(NamedTuple):
    """A link that the cloud is known to have, at which transfer, since when. `place`: see shared/places.py; None: it
    travelled with the upload.
    """

    transfer_version: int
    link_version: int
    at: datetime
    place: int | None

    @property
    def order(self) -> tuple[int, int]:
        """The later one knows better."""
        return self.transfer_version, self.link_version


class Catalogue:
    """One transaction's view of the table `recording`. Rows are always written in order of recording_id."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def process(self, facts: Iterable[Incoming[RecordingProcessed]]) -> int:
        """Store what is newer by (revision, processed_at, content); returns how many were. They count as arrived."""
        newest: dict[str, tuple[tuple[int, object, str], RecordingProcessed, int]] = {}
        for fact, record in facts:
            order = (fact.revision, fact.processed_at, hashlib.sha256(fact.as_json()).hexdigest())
            if fact.recording_id not in newest or order > newest[fact.recording_id][0]:
                newest[fact.recording_id] = (order, fact, place_of(record))
        chosen = [newest[recording_id] for recording_id in sorted(newest)]
        stored = await self._connection.execute(
            with_arrays("""
                with u as (
                    select * from unnest(
                        cast(:ids as text[]), cast(:folders as text[]), cast(:folder_names as text[]),
                        cast(:filenames as text[]), cast(:requires as boolean[]), cast(:recorded as timestamptz[]),
                        cast(:processed as timestamptz[]), cast(:revisions as int[]), cast(:hashes as text[]),
                        cast(:places as bigint[]))
                    as u (recording_id, folder_id, folder_name, filename, requires_ticket, recorded_at, processed_at,
                          revision, content_hash, place)
                ), newer as (
                    insert into recording (recording_id, processed_folder_id, processed_folder_name, processed_filename,
                        requires_ticket, recorded_at, processed_at, revision, content_hash, processed_place,
                        transfer_version, known_transfer_version, known_link_version)
                    select u.*, 0, 0, 0 from u
                    where not exists (
                        select from recording r where r.recording_id = u.recording_id and r.revision > 0
                        and (r.revision, r.processed_at, r.content_hash)
                            >= (u.revision, u.processed_at, u.content_hash))
                    order by u.recording_id
                    on conflict (recording_id) do update set
                        processed_folder_id = excluded.processed_folder_id,
                        processed_folder_name = excluded.processed_folder_name,
                        processed_filename = excluded.processed_filename,
                        requires_ticket = excluded.requires_ticket,
                        recorded_at = excluded.recorded_at,
                        processed_at = excluded.processed_at,
                        revision = excluded.revision,
                        content_hash = excluded.content_hash,
                        processed_place = excluded.processed_place
                    where recording.revision = 0
                        or (recording.revision, recording.processed_at, recording.content_hash)
                            < (excluded.revision, excluded.processed_at, excluded.content_hash)
                    returning recording_id
                ), arrived as (
                    insert into arrival (recording_id) select recording_id from newer order by recording_id
                    on conflict do nothing
                )
                select recording_id from newer
            """),
            {
                "ids": [fact.recording_id for _, fact, _ in chosen],
                "folders": [fact.folder_id for _, fact, _ in chosen],
                "folder_names": [fact.folder_name for _, fact, _ in chosen],
                "filenames": [fact.filename for _, fact, _ in chosen],
                "requires": [fact.requires_ticket for _, fact, _ in chosen],
                "recorded": [fact.recorded_at for _, fact, _ in chosen],
                "processed": [fact.processed_at for _, fact, _ in chosen],
                "revisions": [fact.revision for _, fact, _ in chosen],
                "hashes": [order[2] for order, _, _ in chosen],
                "places": [place for _, _, place in chosen],
            },
        )
        return len(stored.all())

    async def transfer(self, facts: Iterable[Incoming[RecordingTransferred]]) -> int:
        """Store transfers that are newer, and the link that travelled as known; returns how many were newer."""
        newest: dict[str, Incoming[RecordingTransferred]] = {}
        for incoming in facts:
            fact = incoming.event
            if fact.transfer_version > (
                newest[fact.recording_id].event.transfer_version if fact.recording_id in newest else 0
            ):
                newest[fact.recording_id] = incoming
        chosen = [newest[recording_id].event for recording_id in sorted(newest)]
        stored = await self._connection.execute(
            with_arrays("""
                with u as (
                    select * from unnest(
                        cast(:ids as text[]), cast(:folders as text[]), cast(:filenames as text[]),
                        cast(:versions as int[]), cast(:uuids as text[]), cast(:moments as timestamptz[]),
                        cast(:places as bigint[]), cast(:links as int[]))
                    as u (recording_id, folder_id, filename, transfer_version, clouds_uuid, transferred_at, place, link)
                ), newer as (
                    insert into recording (recording_id, transferred_folder_id, transferred_filename, transfer_version,
                        clouds_uuid, transferred_at, transferred_place, known_link_version, known_transfer_version,
                        known_at, requires_ticket, revision, content_hash)
                    select recording_id, folder_id, filename, transfer_version, clouds_uuid, transferred_at, place,
                        link, transfer_version, transferred_at, true, 0, '' from u
                    where not exists (
                        select from recording r
                        where r.recording_id = u.recording_id and r.transfer_version >= u.transfer_version)
                    order by u.recording_id
                    on conflict (recording_id) do update set
                        transferred_folder_id = excluded.transferred_folder_id,
                        transferred_filename = excluded.transferred_filename,
                        transfer_version = excluded.transfer_version,
                        clouds_uuid = excluded.clouds_uuid,
                        transferred_at = excluded.transferred_at,
                        transferred_place = excluded.transferred_place,
                        (known_transfer_version, known_link_version, known_at, known_place) = (
                            select * from (
                                select recording.known_transfer_version as t, recording.known_link_version as l,
                                    recording.known_at, recording.known_place
                                union all select excluded.known_transfer_version, excluded.known_link_version,
                                    excluded.known_at, null) known
                            order by t desc, l desc, known_place limit 1)
                    where recording.transfer_version < excluded.transfer_version
                    returning recording_id
                ), arrived as (
                    insert into arrival (recording_id) select recording_id from newer order by recording_id
                    on conflict do nothing
                )
                select recording_id from newer
            """),
            {
                "ids": [fact.recording_id for fact in chosen],
                "folders": [fact.folder_id for fact in chosen],
                "filenames": [fact.file.filename for fact in chosen],
                "versions": [fact.transfer_version for fact in chosen],
                "uuids": [fact.clouds_uuid for fact in chosen],
                "moments": [fact.transferred_at for fact in chosen],
                "places": [place_of(newest[fact.recording_id].record) for fact in chosen],
                "links": [fact.link_version for fact in chosen],
            },
        )
        newer = set(stored.scalars())
        others = [one for one in chosen if one.recording_id not in newer]
        if others:
            await self.know(
                {
                    one.recording_id: Known(one.transfer_version, one.link_version, one.transferred_at, None)
                    for one in others
                }
            )
        return len(newer)

    async def acknowledge(self, facts: Iterable[Incoming[CloudTicketUpdated]]) -> int:
        """Store acknowledgements that are newer; returns how many were."""
        newest: dict[str, Known] = {}
        for fact, record in facts:
            known = Known(fact.transfer_version, fact.link_version, fact.updated_at, place_of(record))
            if fact.recording_id not in newest or known.order > newest[fact.recording_id].order:
                newest[fact.recording_id] = known
        return await self.know(newest)

    async def know(self, links: Mapping[str, Known]) -> int:
        """The cloud is known to have these; returns how many that was news of."""
        ids = sorted(links)
        known = [links[one] for one in ids]
        stored = await self._connection.execute(
            with_arrays("""
                insert into recording (recording_id, requires_ticket, revision, content_hash, transfer_version,
                    known_transfer_version, known_link_version, known_at, known_place)
                select recording_id, true, 0, '', 0, t, l, at, place
                from unnest(cast(:ids as text[]), cast(:transfers as int[]), cast(:links as int[]),
                            cast(:moments as timestamptz[]), cast(:places as bigint[]))
                    as u (recording_id, t, l, at, place)
                where not exists (
                    select from recording r where r.recording_id = u.recording_id
                    and (r.known_transfer_version, r.known_link_version) >= (u.t, u.l))
                order by recording_id
                on conflict (recording_id) do update set
                    known_transfer_version = excluded.known_transfer_version,
                    known_link_version = excluded.known_link_version,
                    known_at = excluded.known_at, known_place = excluded.known_place
                where (recording.known_transfer_version, recording.known_link_version)
                    < (excluded.known_transfer_version, excluded.known_link_version)
            """),
            {
                "ids": ids,
                "transfers": [one.transfer_version for one in known],
                "links": [one.link_version for one in known],
                "moments": [one.at for one in known],
                "places": [one.place for one in known],
            },
        )
        return stored.rowcount

    async def lock(self, recording_ids: Collection[str]) -> None:
        """Lock these recordings, so that nobody else gives them a link now."""
        await self._connection.execute(
            with_arrays("""
                select count(*) from (
                    select from recording where recording_id = any(cast(:ids as text[]))
                    order by recording_id for update) locked
            """),
            {"ids": list(recording_ids)},
        )
