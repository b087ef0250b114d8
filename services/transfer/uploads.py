"""The SQL of what is to be uploaded: claim folders, gather what is ready in them.

A folder's row is locked from its claim to the end of the transaction, so nothing about its recordings changes while
they are gathered (see `store.py`). A claim leaves a lease with a token of its own; every later write asks for that
token, so a worker that lost its lease changes nothing.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
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
NEXT_LOOK = "greatest(due_at, retry_at, lease_until)"
LOOKED_AT = "due_at is not null and held is null"

# A recording `r` that has to be uploaded and is in no open request, with its transfer `t` if there is one.
_TO_UPLOAD = """
    r.waiting and coalesce(t.transfer_version, 0) < r.wanted_version
    and not exists (select from frozen_file f where f.recording_id = r.recording_id)
"""
_HAS_TICKET = "exists (select from ticket k where k.recording_id = r.recording_id and k.ticket_info is not null)"


@dataclass(frozen=True)
class Folder:
    """A claimed folder. `now` is the database's time; `failures` in a row so far; `in_cloud`: it is or was there.

    `has_request`: it had an open one when it was looked for.
    """

    folder_id: FolderId
    clouds_uuid: CloudsUuid | None
    in_cloud: bool
    has_request: bool
    failures: int
    last_error: str | None
    max_files: int
    now: datetime


class Uploads:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, limit: int) -> list[Folder]:
        """Lock the folders that have been due for longest, those that nobody else has locked."""
        rows = await self._connection.execute(
            text(f"""
                select folder_id, clouds_uuid, uuid_since is not null as in_cloud,
                    exists (select from upload_request q where q.folder_id = folder.folder_id) as has_request,
                    attempts as failures, last_error,
                    coalesce(max_files, :max_files) as max_files, now() as now
                from folder where {LOOKED_AT} and {NEXT_LOOK} <= now()
                order by {NEXT_LOOK} limit :limit for no key update skip locked
            """),  # noqa: S608  # this module's own text
            {"max_files": MAX_FILES, "limit": limit},
        )
        return [Folder(*row) for row in rows]

    async def next_due_s(self) -> float | None:
        """Seconds until the next folder is due; None: none is planned."""
        seconds = await self._connection.scalar(
            text(f"""
                select cast(extract(epoch from {NEXT_LOOK} - now()) as double precision)
                from folder where {LOOKED_AT} order by {NEXT_LOOK} limit 1
            """)  # noqa: S608  # this module's own text
        )
        return None if seconds is None else max(float(seconds), SHORTEST_WAIT_S)

    async def ready(self, folders: Sequence[Folder], *, grace: timedelta) -> dict[FolderId, list[Ready]]:
        """Of each folder the first recordings that may go now, in the order of their processing.

        As many as one request can hold; a folder that has none is left out. The folders were claimed at one moment.
        """
        rows = await self._connection.execute(
            with_arrays(f"""
                select d.folder_id, fitting.*
                from unnest(cast(:folder_ids as text[]), cast(:max_files as int[])) as d (folder_id, max_files)
                cross join lateral (
                    with ready as (
                        select r.recording_id, r.folder_name, r.filename, r.size_bytes, r.token, r.transcript,
                            r.content_hash, r.processed_at, octet_length(r.transcript) as bytes,
                            coalesce(t.transfer_version, 0) + 1 as transfer_version
                        from recording r left join transfer t using (recording_id)
                        where r.folder_id = d.folder_id and {_TO_UPLOAD}
                            and (not r.requires_ticket or r.folded_at <= :grace_from or {_HAS_TICKET})
                        order by r.processed_at, r.recording_id limit d.max_files
                    ), measured as (
                        select *, sum(bytes) over (order by processed_at, recording_id) - bytes as bytes_before
                        from ready
                    )
                    select m.recording_id, m.folder_name, m.filename, m.size_bytes, m.token, m.transcript,
                        m.transfer_version, coalesce(k.link_version, 0) as link_version, k.ticket_info, m.content_hash
                    from measured m left join ticket k using (recording_id)
                    where bytes_before <= :max_bytes order by m.processed_at, m.recording_id
                ) fitting
            """),  # noqa: S608  # this module's own text
            {
                "folder_ids": [one.folder_id for one in folders],
                "max_files": [one.max_files for one in folders],
                "grace_from": folders[0].now - grace,
                "max_bytes": MAX_BODY_BYTES,
            },
        )
        ready: dict[FolderId, list[Ready]] = defaultdict(list)
        for folder_id, *columns in rows:
            ready[folder_id].append(Ready._make(columns))
        return ready

    async def taken_names(self, names: Collection[tuple[FolderId, str]]) -> dict[FolderId, dict[str, RecordingId]]:
        """Which of these names their folders have in the cloud already, and for which recording."""
        rows = await self._connection.execute(
            with_arrays("""
                select t.folder_id, t.filename, t.recording_id
                from unnest(cast(:folder_ids as text[]), cast(:names as text[])) as u (folder_id, filename)
                    join transfer t on t.folder_id = u.folder_id and md5(t.filename) = md5(u.filename)
                        and t.filename = u.filename
                order by t.recording_id desc
            """),
            {"folder_ids": [folder_id for folder_id, _ in names], "names": [name for _, name in names]},
        )
        taken: dict[FolderId, dict[str, RecordingId]] = defaultdict(dict)
        for folder_id, filename, recording_id in rows:
            taken[folder_id][filename] = recording_id
        return taken

    async def rest(self, folder_ids: Collection[FolderId]) -> dict[FolderId, Rest]:
        """What waits in each of these folders and cannot go yet.

        Also what has got its ticket since `ready` looked: whoever stored that may not have seen that somebody waits.
        """
        rows = await self._connection.execute(
            with_arrays(f"""
                select d.folder_id,
                    (select min(r.folded_at) from recording r left join transfer t using (recording_id)
                     where r.folder_id = d.folder_id and {_TO_UPLOAD}) as waiting_since,
                    exists (select from recording r join frozen_file f using (recording_id)
                            where r.folder_id = d.folder_id and r.waiting) as frozen_elsewhere
                from unnest(cast(:folder_ids as text[])) as d (folder_id)
            """),  # noqa: S608  # this module's own text
            {"folder_ids": list(folder_ids)},
        )
        return {row.folder_id: Rest(row.waiting_since, row.frozen_elsewhere) for row in rows}

    async def reject(self, messages: Mapping[RecordingId, str], *, sent: Collection[FrozenFile] = ()) -> None:
        """These will not be uploaded as they are.

        With `sent`, only those that are still what was sent: a newer revision or link may be just what mends them.
        """
        as_sent = {one.recording_id: one for one in sent}
        await self._connection.execute(
            with_arrays("""
                with locked as materialized (
                    select recording_id, content_hash, waiting from recording
                    where recording_id = any(cast(:ids as text[]))
                    order by recording_id for no key update
                )
                update recording set waiting = false, rejected = u.message
                from unnest(cast(:ids as text[]), cast(:messages as text[]), cast(:hashes as bytea[]),
                        cast(:links as int[])) as u (recording_id, message, content_hash, link_version)
                    join locked using (recording_id)
                    left join ticket k using (recording_id)
                where recording.recording_id = u.recording_id and locked.waiting
                    and locked.content_hash = coalesce(u.content_hash, locked.content_hash)
                    and coalesce(k.link_version, 0) = coalesce(u.link_version, k.link_version, 0)
            """),
            {
                "ids": list(messages),
                "messages": list(messages.values()),
                "hashes": [as_sent[one].content_hash if one in as_sent else None for one in messages],
                "links": [as_sent[one].link_version if one in as_sent else None for one in messages],
            },
        )

    async def look_again(self, looks: Mapping[FolderId, datetime | None]) -> None:
        """Nothing goes from these claimed folders before then; None: before something new arrives."""
        await self._connection.execute(
            with_arrays("""
                update folder set due_at = u.due_at, retry_at = null,
                    attempts = case when u.due_at is null then 0 else attempts end
                from unnest(cast(:folder_ids as text[]), cast(:due as timestamptz[])) as u (folder_id, due_at)
                where folder.folder_id = u.folder_id
            """),
            {"folder_ids": list(looks), "due": list(looks.values())},
        )

    async def lease(self, folder_ids: Collection[FolderId], token: UUID, *, lease_s: float) -> None:
        """Keep these claimed folders beyond this transaction."""
        await self._connection.execute(
            with_arrays("""
                update folder set lease_token = :token, lease_until = now() + make_interval(secs => :lease_s)
                where folder_id = any(cast(:folder_ids as text[]))
            """),
            {"folder_ids": list(folder_ids), "token": token, "lease_s": lease_s},
        )
