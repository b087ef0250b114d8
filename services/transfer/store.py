"""The SQL of the folds: the newest facts, and which folders have to be looked at.

Invariant: whoever makes a recording wait, or changes what it is, holds the row of its folder, and of the folder that it
comes from; folders are always locked first, in the order of their ids. So whoever freezes a folder's recordings under
that lock sees them as they are, and whoever makes one ready after that comes later and has the folder looked at again.

Recordings are found by their ids, and only what is found is asked whether it waits or is rejected: an index of those
that do looks empty where hardly any did when statistics were gathered, and would be gone through for each id.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from schemas.fields import FolderId, RecordingId
from services.transfer.answers import GIVEN_UP_BEGINS
from services.transfer.decisions import KnownRecording, Processed
from services.transfer.lots import FILENAME_TAKEN
from shared.arrays import with_arrays
from shared.sql import text


class Store:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def now(self) -> datetime:
        """The database's time, the same through the whole transaction: replicas' clocks differ, this one does not."""
        now: datetime = (await self._connection.execute(text("select now()"))).scalar_one()
        return now

    async def look_at(self, folders: Mapping[FolderId, datetime | None]) -> None:
        """Lock these folders, made where they are missing, and have each looked at by then at the latest.

        Failures wait on another clock (`retry_at`), which this does not touch.
        """
        ordered = sorted(folders)
        await self._connection.execute(
            with_arrays("""
                insert into folder (folder_id, due_at)
                select * from unnest(cast(:folder_ids as text[]), cast(:due as timestamptz[])) as u (folder_id, due_at)
                order by folder_id
                on conflict (folder_id) do update set due_at = least(folder.due_at, excluded.due_at)
            """),
            {"folder_ids": ordered, "due": [folders[one] for one in ordered]},
        )

    async def known_recordings(self, recording_ids: Collection[RecordingId]) -> dict[RecordingId, KnownRecording]:
        """Those that are known."""
        rows = await self._connection.execute(
            with_arrays("""
                select recording_id, revision, processed_at, content_hash, folder_id, folded_at
                from recording where recording_id = any(cast(:ids as text[]))
            """),
            {"ids": list(recording_ids)},
        )
        return {
            row.recording_id: KnownRecording(
                (row.revision, row.processed_at, bytes(row.content_hash)), row.folder_id, row.folded_at
            )
            for row in rows
        }

    async def with_ticket(self, recording_ids: Collection[RecordingId]) -> frozenset[RecordingId]:
        """Those whose newest link has a ticket."""
        rows = await self._connection.execute(
            with_arrays("""
                select recording_id from ticket
                where recording_id = any(cast(:ids as text[])) and ticket_info is not null
            """),
            {"ids": list(recording_ids)},
        )
        return frozenset(row.recording_id for row in rows)

    async def put_recordings(self, news: Sequence[Processed]) -> None:
        """Store what is newer. A recording that was rejected waits again: what is wrong with it may be mended.

        Not if it was given up: nobody knows whether it is in the cloud, so only an operator takes that back.
        """
        facts = [one.fact for one in news]
        await self._connection.execute(
            with_arrays("""
                with transferred as materialized (
                    select recording_id from transfer where recording_id = any(cast(:recording_ids as text[]))
                )
                insert into recording (
                    recording_id, folder_id, folder_name, filename, size_bytes, token, transcript, requires_ticket,
                    recorded_at, processed_at, revision, content_hash, folded_at, wanted_version, waiting)
                select u.*, now(), 1, not exists (select from transferred t where t.recording_id = u.recording_id)
                from unnest(
                    cast(:recording_ids as text[]), cast(:folder_ids as text[]), cast(:folder_names as text[]),
                    cast(:filenames as text[]), cast(:sizes as bigint[]), cast(:tokens as bigint[]),
                    cast(:transcripts as text[]), cast(:requires as boolean[]), cast(:recorded as timestamptz[]),
                    cast(:processed as timestamptz[]), cast(:revisions as int[]), cast(:hashes as bytea[])
                ) as u (recording_id, folder_id, folder_name, filename, size_bytes, token, transcript, requires_ticket,
                        recorded_at, processed_at, revision, content_hash)
                order by u.recording_id
                on conflict (recording_id) do update set
                    folder_id = excluded.folder_id, folder_name = excluded.folder_name, filename = excluded.filename,
                    size_bytes = excluded.size_bytes, token = excluded.token, transcript = excluded.transcript,
                    requires_ticket = excluded.requires_ticket, recorded_at = excluded.recorded_at,
                    processed_at = excluded.processed_at, revision = excluded.revision,
                    content_hash = excluded.content_hash,
                    waiting = recording.waiting or recording.rejected is not null
                        and not starts_with(recording.rejected, cast(:given_up as text)),
                    rejected = case when starts_with(recording.rejected, cast(:given_up as text))
                                    then recording.rejected end
                where (excluded.revision, excluded.processed_at, excluded.content_hash)
                    > (recording.revision, recording.processed_at, recording.content_hash)
            """),
            {
                "recording_ids": [fact.recording_id for fact in facts],
                "folder_ids": [fact.folder_id for fact in facts],
                "folder_names": [fact.folder_name for fact in facts],
                "filenames": [fact.filename for fact in facts],
                "sizes": [fact.size_bytes for fact in facts],
                "tokens": [fact.token for fact in facts],
                "transcripts": [fact.transcript for fact in facts],
                "requires": [fact.requires_ticket for fact in facts],
                "recorded": [fact.recorded_at for fact in facts],
                "processed": [fact.processed_at for fact in facts],
                "revisions": [fact.revision for fact in facts],
                "hashes": [one.content_hash for one in news],
                "given_up": GIVEN_UP_BEGINS,
            },
        )

    async def link_versions(self, recording_ids: Collection[RecordingId]) -> dict[RecordingId, int]:
        """The newest known link of each."""
        rows = await self._connection.execute(
            with_arrays("select recording_id, link_version from ticket where recording_id = any(cast(:ids as text[]))"),
            {"ids": list(recording_ids)},
        )
        return {row.recording_id: row.link_version for row in rows}

    async def put_tickets(self, links: Sequence[TicketLinked]) -> None:
        """Store what is newer, each ticket as it will go to the cloud."""
        ordered = sorted(links, key=lambda link: link.recording_id)
        await self._connection.execute(
            with_arrays("""
                insert into ticket (recording_id, link_version, ticket_info)
                select recording_id, link_version, cast(ticket_info as jsonb)
                from unnest(cast(:recording_ids as text[]), cast(:versions as int[]), cast(:tickets as text[]))
                    as u (recording_id, link_version, ticket_info)
                order by recording_id
                on conflict (recording_id) do update set
                    link_version = excluded.link_version, ticket_info = excluded.ticket_info
                where excluded.link_version > ticket.link_version
            """),
            {
                "recording_ids": [link.recording_id for link in ordered],
                "versions": [link.link_version for link in ordered],
                "tickets": [link.ticket_info.as_json().decode() if link.ticket_info else None for link in ordered],
            },
        )

    async def folders_not_uploaded(self, recording_ids: Collection[RecordingId]) -> frozenset[FolderId]:
        """Folders in which one of these recordings waits, for its ticket or for an answer of the cloud, or is rejected.

        Whoever looks at them before it tries again sees what became of an answer that was being recorded.
        """
        rows = await self._connection.execute(
            with_arrays("""
                with found as materialized (
                    select folder_id, waiting or rejected is not null as not_uploaded from recording
                    where recording_id = any(cast(:ids as text[]))
                )
                select distinct folder_id from found where not_uploaded
            """),
            {"ids": list(recording_ids)},
        )
        return frozenset(row.folder_id for row in rows)

    async def try_again(self, recording_ids: Collection[RecordingId]) -> None:
        """Let those wait again that the cloud rejected: another ticket may be what it wants. The caller holds them.

        Neither an operator's word nor a name that another recording has is changed by that.
        """
        await self._connection.execute(
            with_arrays("""
                with found as materialized (
                    select recording_id, rejected from recording where recording_id = any(cast(:ids as text[]))
                ), locked as materialized (
                    select recording_id, rejected from recording
                    where recording_id = any(array(select recording_id from found where rejected is not null))
                    order by recording_id for no key update
                )
                update recording set waiting = true, rejected = null
                where recording_id = any(array(
                    select recording_id from locked
                    where not starts_with(rejected, cast(:given_up as text)) and rejected <> :filename_taken))
            """),
            {"ids": list(recording_ids), "given_up": GIVEN_UP_BEGINS, "filename_taken": FILENAME_TAKEN},
        )
