"""The SQL of what is to be uploaded: claim a folder, gather what is ready in it.

The folder's row is locked from its claim to the end of the transaction, so nothing about its recordings changes while
they are gathered (see `store.py`). A claim leaves a lease with a token of its own; every later write asks for that
token, so a worker that lost its lease changes nothing.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import CloudsUuid, FolderId, RecordingId
from services.transfer.lots import MAX_BODY_BYTES, MAX_FILES, FrozenFile, Ready, Rest
from shared.arrays import with_arrays
from shared.sql import text

SHORTEST_WAIT_S = 0.005

# Run at start by a process that is alone: what is leased then was left behind by one that died.
FREE_LEASES = "update folder set lease_until = now() where lease_until > now()"

# A folder's next look; the index folder_next is on exactly this.
_NEXT = "greatest(due_at, retry_at, lease_until)"
_LOOKED_AT = "due_at is not null and held is null"

# A recording `r` that has to be uploaded and is in no open request, with its transfer `t` if there is one.
_TO_UPLOAD = """
    r.waiting and coalesce(t.transfer_version, 0) < r.wanted_version
    and not exists (select from frozen_file f where f.recording_id = r.recording_id)
"""
_HAS_TICKET = "exists (select from ticket k where k.recording_id = r.recording_id and k.ticket_info is not null)"


@dataclass(frozen=True)
class Folder:
    """A claimed folder. `now` is the database's time; `failures` in a row so far."""

    folder_id: FolderId
    clouds_uuid: CloudsUuid | None
    failures: int
    last_error: str | None
    max_files: int
    now: datetime


class Uploads:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self) -> Folder | None:
        """Lock the folder that has been due for longest. None: none is due, or others have them."""
        row = (
            await self._connection.execute(
                text(f"""
                    select folder_id, clouds_uuid, attempts as failures, last_error,
                        coalesce(max_files, :max_files) as max_files, now() as now
                    from folder where {_LOOKED_AT} and {_NEXT} <= now()
                    order by {_NEXT} limit 1 for no key update skip locked
                """),  # noqa: S608  # this module's own text
                {"max_files": MAX_FILES},
            )
        ).one_or_none()
        return Folder(*row) if row else None

    async def next_due_s(self) -> float | None:
        """Seconds until the next folder is due; None: none is planned."""
        seconds = await self._connection.scalar(
            text(f"""
                select cast(extract(epoch from {_NEXT} - now()) as double precision)
                from folder where {_LOOKED_AT} order by {_NEXT} limit 1
            """)  # noqa: S608  # this module's own text
        )
        return None if seconds is None else max(float(seconds), SHORTEST_WAIT_S)

    async def ready(self, folder: Folder, *, grace: timedelta) -> list[Ready]:
        """The first recordings that may go now, as many as one request can hold, in the order of their processing."""
        rows = await self._connection.execute(
            text(f"""
                with ready as (
                    select r.recording_id, r.folder_name, r.filename, r.size_bytes, r.token, r.transcript,
                        r.content_hash, r.processed_at, octet_length(r.transcript) as bytes,
                        coalesce(t.transfer_version, 0) + 1 as transfer_version
                    from recording r left join transfer t using (recording_id)
                    where r.folder_id = :folder_id and {_TO_UPLOAD}
                        and (not r.requires_ticket or r.folded_at <= :grace_from or {_HAS_TICKET})
                    order by r.processed_at, r.recording_id limit :max_files
                ), measured as (
                    select *, sum(bytes) over (order by processed_at, recording_id) - bytes as bytes_before from ready
                )
                select m.*, coalesce(k.link_version, 0) as link_version, k.ticket_info
                from measured m left join ticket k using (recording_id)
                where bytes_before <= :max_bytes order by processed_at, recording_id
            """),  # noqa: S608  # this module's own text
            {
                "folder_id": folder.folder_id,
                "grace_from": folder.now - grace,
                "max_files": folder.max_files,
                "max_bytes": MAX_BODY_BYTES,
            },
        )
        return [
            Ready(
                recording_id=row.recording_id,
                folder_name=row.folder_name,
                filename=row.filename,
                size_bytes=row.size_bytes,
                token=row.token,
                transcript=row.transcript,
                transfer_version=row.transfer_version,
                link_version=row.link_version,
                ticket_info=row.ticket_info,
                content_hash=bytes(row.content_hash),
            )
            for row in rows
        ]

    async def taken_names(self, folder_id: FolderId, filenames: Collection[str]) -> dict[str, RecordingId]:
        """Which of these names the folder has in the cloud already, and for which recording."""
        rows = await self._connection.execute(
            with_arrays("""
                select filename, recording_id from transfer
                where folder_id = :folder_id and filename = any(cast(:names as text[]))
                    and md5(filename) = any(select md5(name) from unnest(cast(:names as text[])) as u (name))
                order by recording_id desc
            """),
            {"folder_id": folder_id, "names": list(filenames)},
        )
        return {row.filename: row.recording_id for row in rows}

    async def rest(self, folder_id: FolderId) -> Rest:
        """What waits in the folder and cannot go yet.

        Also what has got its ticket since `ready` looked: whoever stored that may not have seen that somebody waits.
        """
        row = (
            await self._connection.execute(
                text(f"""
                    select
                        (select min(r.folded_at) from recording r left join transfer t using (recording_id)
                         where r.folder_id = :folder_id and {_TO_UPLOAD}) as waiting_since,
                        exists (select from recording r join frozen_file f using (recording_id)
                                where r.folder_id = :folder_id and r.waiting) as frozen_elsewhere
                """),  # noqa: S608  # this module's own text
                {"folder_id": folder_id},
            )
        ).one()
        return Rest(row.waiting_since, row.frozen_elsewhere)

    async def reject(self, messages: Mapping[RecordingId, str], *, sent: Collection[FrozenFile] = ()) -> None:
        """These will not be uploaded as they are.

        With `sent`, only those that are still what was sent: a newer revision or link may be just what mends them.
        """
        as_sent = {one.recording_id: one for one in sent}
        await self._connection.execute(
            with_arrays("""
                update recording set waiting = false, rejected = u.message
                from unnest(cast(:ids as text[]), cast(:messages as text[]), cast(:hashes as bytea[]),
                        cast(:links as int[])) as u (recording_id, message, content_hash, link_version)
                    left join ticket k using (recording_id)
                where recording.recording_id = u.recording_id and recording.waiting
                    and recording.content_hash = coalesce(u.content_hash, recording.content_hash)
                    and coalesce(k.link_version, 0) = coalesce(u.link_version, k.link_version, 0)
                    and recording.recording_id in (
                        select recording_id from recording where recording_id = any(cast(:ids as text[]))
                        order by recording_id for no key update)
            """),
            {
                "ids": list(messages),
                "messages": list(messages.values()),
                "hashes": [as_sent[one].content_hash if one in as_sent else None for one in messages],
                "links": [as_sent[one].link_version if one in as_sent else None for one in messages],
            },
        )

    async def look_again(self, folder: Folder, due_at: datetime | None) -> None:
        """Nothing goes from here before then; None: before something new arrives."""
        await self._connection.execute(
            text("""
                update folder set due_at = :due_at, retry_at = null,
                    attempts = case when cast(:due_at as timestamptz) is null then 0 else attempts end
                where folder_id = :folder_id
            """),
            {"folder_id": folder.folder_id, "due_at": due_at},
        )

    async def lease(self, folder_id: FolderId, token: UUID, *, lease_s: float) -> None:
        """Keep the claimed folder beyond this transaction."""
        await self._connection.execute(
            text("""
                update folder set lease_token = :token, lease_until = now() + make_interval(secs => :lease_s)
                where folder_id = :folder_id
            """),
            {"folder_id": folder_id, "token": token, "lease_s": lease_s},
        )
