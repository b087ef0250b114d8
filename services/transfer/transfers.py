"""The SQL of what has been transferred: taken over from a request that had its effect, or from our own topic.

The caller holds the folders concerned (see `store.py`). A fact that is not newer than the row changes nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, Self

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingTransferred
from schemas.fields import CloudsUuid, FolderId, RecordingId
from services.transfer.decisions import KnownTransfer, Place
from shared.arrays import with_arrays


class TransferRow(NamedTuple):
    """A RecordingTransferred as a row of `transfer`, in the order of its columns."""

    recording_id: RecordingId
    folder_id: FolderId
    clouds_uuid: CloudsUuid
    transfer_version: int
    filename: str
    size: str
    token: int
    transcribe: str
    link_version: int
    transferred_at: datetime

    @classmethod
    def of(cls, fact: RecordingTransferred) -> Self:
        """Of a fact."""
        file = fact.file
        return cls(
            fact.recording_id,
            fact.folder_id,
            fact.clouds_uuid,
            fact.transfer_version,
            file.filename,
            file.size,
            file.token,
            file.transcribe,
            fact.link_version,
            fact.transferred_at,
        )


# Its fields, as a statement names them.
COLUMNS = """recording_id, folder_id, clouds_uuid, transfer_version, filename, size, token, transcribe, link_version,
    transferred_at"""


class Transfers:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def known(self, recording_ids: Collection[RecordingId]) -> dict[RecordingId, KnownTransfer]:
        """What is known of each, also of those that were never heard of: versions 0, no folders."""
        rows = await self._connection.execute(
            with_arrays("""
                select u.recording_id, coalesce(t.transfer_version, 0) as transfer_version,
                    t.recording_id is not null and n.recording_id is null as heard,
                    array_remove(array[t.folder_id, r.folder_id, q.folder_id], null) as folder_ids
                from unnest(cast(:ids as text[])) as u (recording_id)
                left join transfer t using (recording_id)
                left join unheard_transfer n using (recording_id)
                left join recording r using (recording_id)
                left join frozen_file f using (recording_id)
                left join upload_request q on q.id = f.request_id
            """),
            {"ids": list(recording_ids)},
        )
        return {
            row.recording_id: KnownTransfer(row.transfer_version, row.heard, frozenset(row.folder_ids)) for row in rows
        }

    async def hear_newest(self, versions: Collection[tuple[RecordingId, int]]) -> bool:
        """Whether each (recording_id, transfer_version) is the transfer as it stands; then they were heard.

        No transfer is locked: a row that got a newer version meanwhile says so itself, and stays to be announced.
        """
        ids, told = zip(*versions, strict=True)
        # Found by their ids alone: to join a whole table with what is given would seem to cost less by all of it.
        heard = await self._connection.scalar(
            with_arrays("""
                with told as materialized (
                    select * from unnest(cast(:ids as text[]), cast(:versions as int[]))
                        as u (recording_id, transfer_version)
                ), found as materialized (
                    select recording_id, transfer_version from transfer
                    where recording_id = any(cast(:ids as text[]))
                ), newest as materialized (
                    select count(*) = :count as are_all
                    from found join told using (recording_id, transfer_version)
                ), waiting as materialized (
                    select ctid as place, recording_id, transfer_version as version from unheard_transfer
                    where recording_id = any(cast(:ids as text[])) and (select are_all from newest)
                    order by recording_id for update
                ), heard as (
                    delete from unheard_transfer where ctid = any(array(
                        select place from waiting join told using (recording_id) where version <= transfer_version))
                )
                select are_all from newest
            """),
            {"ids": ids, "versions": told, "count": len(versions)},
        )
        return bool(heard)

    async def put(self, transfers: Sequence[TransferRow]) -> None:
        """Take these over where they are newer: the row, and the end of the recording's wait."""
        if not transfers:
            return
        await self._put_rows(sorted(transfers))
        # Of what is locked alone: where hardly anything waited when statistics were gathered, the index of what waits
        # would seem the quickest way in, and be gone through for each of these.
        await self._connection.execute(
            with_arrays("""
                with locked as materialized (
                    select recording_id, wanted_version, waiting or rejected is not null as wanted from recording
                    where recording_id = any(cast(:ids as text[]))
                    order by recording_id for no key update
                )
                update recording set waiting = false, rejected = null
                where recording_id = any(array(
                    select recording_id
                    from locked join unnest(cast(:ids as text[]), cast(:versions as int[]))
                        as u (recording_id, transfer_version) using (recording_id)
                    where wanted and wanted_version <= transfer_version))
            """),
            {
                "ids": [one.recording_id for one in transfers],
                "versions": [one.transfer_version for one in transfers],
            },
        )

    async def _put_rows(self, transfers: Sequence[TransferRow]) -> None:
        await self._connection.execute(
            with_arrays(f"""
                with newer as (
                    insert into transfer ({COLUMNS})
                    select u.* from unnest(
                        cast(:recording_id as text[]), cast(:folder_id as text[]), cast(:clouds_uuid as text[]),
                        cast(:transfer_version as int[]), cast(:filename as text[]), cast(:size as text[]),
                        cast(:token as bigint[]), cast(:transcribe as text[]), cast(:link_version as int[]),
                        cast(:transferred_at as timestamptz[])) as u ({COLUMNS})
                    order by u.recording_id
                    on conflict (recording_id) do update set
                        folder_id = excluded.folder_id, clouds_uuid = excluded.clouds_uuid,
                        transfer_version = excluded.transfer_version, filename = excluded.filename,
                        size = excluded.size, token = excluded.token, transcribe = excluded.transcribe,
                        link_version = excluded.link_version, transferred_at = excluded.transferred_at
                    where excluded.transfer_version > transfer.transfer_version
                    returning recording_id, folder_id, transfer_version
                )
                insert into unheard_transfer (recording_id, folder_id, transfer_version)
                select * from newer order by recording_id
                on conflict (recording_id) do update set
                    folder_id = excluded.folder_id, transfer_version = excluded.transfer_version
            """),  # noqa: S608  # this module's own text
            dict(zip(TransferRow._fields, zip(*transfers, strict=True), strict=True)),
        )

    async def places(self, folder_ids: Collection[FolderId]) -> dict[FolderId, Place]:
        """Where these folders are in the cloud, those that are known."""
        rows = await self._connection.execute(
            with_arrays(
                "select folder_id, clouds_uuid, uuid_since from folder where folder_id = any(cast(:ids as text[]))"
            ),
            {"ids": list(folder_ids)},
        )
        return {row.folder_id: Place(row.clouds_uuid, row.uuid_since) for row in rows}

    async def place(self, places: Mapping[FolderId, Place]) -> None:
        """These folders are there now; the caller knows that this is newer than the rows."""
        await self._connection.execute(
            with_arrays("""
                update folder set clouds_uuid = u.clouds_uuid, uuid_since = u.since
                from unnest(cast(:folder_ids as text[]), cast(:uuids as text[]), cast(:times as timestamptz[]))
                    as u (folder_id, clouds_uuid, since)
                where folder.folder_id = u.folder_id
            """),
            {
                "folder_ids": list(places),
                "uuids": [place.clouds_uuid for place in places.values()],
                "times": [place.since for place in places.values()],
            },
        )

    async def hear(self, versions: Mapping[RecordingId, int]) -> None:
        """The last records of the topic say these versions: whatever has another version is to be announced."""
        await self.lock(versions)
        await self._connection.execute(
            with_arrays("""
                with told as (
                    select recording_id, t.folder_id, t.transfer_version, t.transfer_version = u.version as heard
                    from unnest(cast(:ids as text[]), cast(:versions as int[])) as u (recording_id, version)
                        join transfer t using (recording_id)
                ), heard as (
                    select recording_id from unheard_transfer join told using (recording_id)
                    where told.heard order by recording_id for update of unheard_transfer
                ), done as (
                    delete from unheard_transfer using heard where unheard_transfer.recording_id = heard.recording_id
                )
                insert into unheard_transfer (recording_id, folder_id, transfer_version)
                select recording_id, folder_id, transfer_version from told where not heard order by recording_id
                on conflict do nothing
            """),
            {"ids": list(versions), "versions": list(versions.values())},
        )

    async def lock(self, recording_ids: Collection[RecordingId]) -> None:
        """Lock the rows of these in their order, where there are any: an update alone locks in the planner's."""
        await self._connection.execute(
            with_arrays("""
                select from transfer where recording_id = any(cast(:ids as text[]))
                order by recording_id for no key update
            """),
            {"ids": list(recording_ids)},
        )

    async def close_proven_requests(self, recording_ids: Collection[RecordingId]) -> int:
        """Close every open request with one of these recordings that had its effect: all of it is transferred.

        Only a database that was set back has such requests. Returns how many there were.
        """
        closed = await self._connection.execute(
            with_arrays("""
                with closed as (
                    delete from upload_request q
                    where q.id in (select request_id from frozen_file where recording_id = any(cast(:ids as text[])))
                        and not exists (
                            select from frozen_file f left join transfer t using (recording_id)
                            where f.request_id = q.id and coalesce(t.transfer_version, 0) < f.transfer_version)
                    returning q.id, q.folder_id
                ), gone as (
                    delete from frozen_file using closed where frozen_file.request_id = closed.id
                )
                select folder_id from closed
            """),
            {"ids": list(recording_ids)},
        )
        folder_ids = sorted(row.folder_id for row in closed)
        if folder_ids:
            await self._connection.execute(
                with_arrays("""
                    update folder set held = null, due_at = now(), retry_at = null, lease_token = null,
                        lease_until = null, attempts = 0, last_error = null
                    where folder_id = any(cast(:folder_ids as text[]))
                """),
                {"folder_ids": folder_ids},
            )
        return len(folder_ids)
