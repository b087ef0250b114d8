"""The SQL of what an operator sees: what keeps recordings from their upload, one recording, one folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.transfer.upload_body import size_text
from shared.sql import text
from shared.watch import Pending

# A recording that the cloud is to have and has not: never, or not since it was to be uploaded again.
_WANTED = "(r.waiting or r.rejected is not null) and coalesce(t.transfer_version, 0) < r.wanted_version"
# The first that applies, so that no recording is counted twice. A recording in an open request is where that request
# is: it may have been moved to another folder since. `shut`: the lane is stopped.
_FOLDER_OF = """
    left join frozen_file f using (recording_id)
    left join upload_request q on q.id = f.request_id
    left join folder d on d.folder_id = coalesce(q.folder_id, r.folder_id)
"""
_REASON = """
    case when r.rejected is not null then 'rejected'
         when r.waiting and d.held is not null then d.held
         when r.waiting and (d.attempts > 0 or :shut) then 'retrying' end
"""
_REASONS = ("retrying", "rejected", "outcome_unknown", "missing_in_cloud")
_NEXT_TRY = "case when d.held is null then greatest(d.due_at, d.retry_at, d.lease_until) end"


async def blocked(connection: AsyncConnection, *, folder_id: str | None, shut: bool) -> Mapping[str, int]:
    """Recordings that the cloud is to have, by the reason that keeps them from it; every reason is there."""
    rows = await connection.execute(
        text(f"""
            select {_REASON} as reason, count(*) as count
            from recording r left join transfer t using (recording_id) {_FOLDER_OF}
            where {_WANTED} and (cast(:folder_id as text) is null or r.folder_id = :folder_id)
            group by 1
        """),  # noqa: S608  # this module's own text
        {"folder_id": folder_id, "shut": shut},
    )
    counts = {row.reason: row[1] for row in rows}
    return {reason: counts.get(reason, 0) for reason in _REASONS}


@dataclass(frozen=True)
class BlockedSeen:
    """A recording that is kept from the cloud, and why."""

    recording_id: str
    folder_id: str
    reason: str
    message: str | None
    next_try_at: datetime | None


@dataclass(frozen=True)
class WantedBlocked:
    """Which blocked recordings to list; None is no condition. `after`: (is it retrying, recording_id) of the last."""

    folder_id: str | None = None
    reason: str | None = None
    after: tuple[bool, str] = (False, "")
    limit: int = 100


async def blocked_recordings(connection: AsyncConnection, wanted: WantedBlocked, *, shut: bool) -> list[BlockedSeen]:
    """A page of what `blocked` counts: those that need a person, then those that are tried again."""
    rows = await connection.execute(
        text(f"""
            select * from (
                select r.recording_id, r.folder_id, {_REASON} as reason, coalesce(r.rejected, d.last_error) as message,
                    {_NEXT_TRY} as next_try_at
                from recording r left join transfer t using (recording_id) {_FOLDER_OF}
                where {_WANTED} and (cast(:folder_id as text) is null or r.folder_id = :folder_id)) b
            where reason = coalesce(cast(:reason as text), reason)
                and (reason = 'retrying', recording_id) > (:after_retrying, :after_id)
            order by reason = 'retrying', recording_id limit :limit
        """),  # noqa: S608  # this module's own text
        {
            "folder_id": wanted.folder_id,
            "reason": wanted.reason,
            "after_retrying": wanted.after[0],
            "after_id": wanted.after[1],
            "shut": shut,
            "limit": wanted.limit,
        },
    )
    return [BlockedSeen(*row) for row in rows]


async def pending(connection: AsyncConnection, *, shut: bool) -> Pending:
    """What is blocked, and how long the first recording that the cloud is to have and has not has waited for that.

    One of a folder that is uploaded again waits since its folder was called lost.
    """
    oldest_s = await connection.scalar(
        text(f"""
            select extract(epoch from now() - min(
                case when r.wanted_version > 1 then coalesce(d.uuid_since, r.folded_at) else r.folded_at end))
            from recording r left join transfer t using (recording_id) {_FOLDER_OF}
            where {_WANTED} and r.waiting
        """)  # noqa: S608  # this module's own text
    )
    return Pending(await blocked(connection, folder_id=None, shut=shut), max(0.0, float(oldest_s or 0)))


async def working(connection: AsyncConnection, *, folder_id: str | None) -> int:
    """Uploads that will be made, and transfers that will be announced, without anybody's help."""
    return int(
        await connection.scalar(
            text(f"""
                select (select count(*) from recording r left join transfer t using (recording_id) {_FOLDER_OF}
                        where {_WANTED} and r.waiting and d.held is null
                            and (cast(:folder_id as text) is null or r.folder_id = :folder_id))
                    + (select count(*) from unheard_transfer u
                            where cast(:folder_id as text) is null or u.folder_id = :folder_id)
            """),  # noqa: S608  # this module's own text
            {"folder_id": folder_id},
        )
        or 0
    )


@dataclass(frozen=True)
class RecordingSeen:
    """One recording as this service knows it. What has not happened is None or, for versions, 0."""

    recording_id: str
    folder_id: str
    filename: str
    revision: int | None
    phase: str
    superseded_after_upload: bool
    clouds_uuid: str | None
    transfer_version: int
    sent_link_version: int
    link_version: int
    reason: str | None
    message: str | None
    next_try_at: datetime | None


async def recording(connection: AsyncConnection, recording_id: str, *, shut: bool) -> RecordingSeen | None:
    """One recording, None if it was neither processed nor transferred, as far as is known."""
    row = (
        await connection.execute(
            text(f"""
                select u.recording_id, r.revision, r.size_bytes, t.size, t.clouds_uuid,
                    coalesce(t.folder_id, q.folder_id, r.folder_id) as folder_id,
                    coalesce(t.filename, r.filename) as filename,
                    case when r.rejected is not null then 'rejected'
                         when q.id is not null then 'uploading'
                         when r.waiting then 'waiting'
                         else 'transferred' end as phase,
                    coalesce((r.folder_id, r.filename, r.token, r.transcript)
                        <> (t.folder_id, t.filename, t.token, t.transcribe), false) as differs,
                    coalesce(t.transfer_version, 0) as transfer_version,
                    coalesce(t.link_version, 0) as sent_link_version,
                    coalesce(k.link_version, 0) as link_version,
                    {_REASON} as reason, coalesce(r.rejected, d.last_error) as message, {_NEXT_TRY} as next_try_at
                from (select cast(:id as text) as recording_id) u
                left join recording r using (recording_id)
                left join transfer t using (recording_id)
                left join ticket k using (recording_id)
                {_FOLDER_OF}
                where r.recording_id is not null or t.recording_id is not null
            """),  # noqa: S608  # this module's own text
            {"id": recording_id, "shut": shut},
        )
    ).one_or_none()
    if row is None:
        return None
    resized = row.size is not None and row.size_bytes is not None and row.size != size_text(row.size_bytes)
    return RecordingSeen(
        recording_id=row.recording_id,
        folder_id=row.folder_id,
        filename=row.filename,
        revision=row.revision,
        phase=row.phase,
        superseded_after_upload=row.phase == "transferred" and (row.differs or resized),
        clouds_uuid=row.clouds_uuid,
        transfer_version=row.transfer_version,
        sent_link_version=row.sent_link_version,
        link_version=row.link_version,
        reason=row.reason,
        message=row.message,
        next_try_at=row.next_try_at if row.reason == "retrying" else None,
    )


@dataclass(frozen=True)
class RequestSeen:
    """A request of which the outcome is open."""

    request_id: UUID
    kind: str
    frozen_at: datetime
    attempts: int
    keys_honoured: bool
    files: int


@dataclass(frozen=True)
class FolderSeen:
    """One folder. `held` says why it waits for an operator, None if it does not. `unprocessed`: recordings that were
    adopted into it and have no RecordingProcessed.
    """

    folder_id: str
    clouds_uuid: str | None
    held: str | None
    attempts: int
    last_error: str | None
    next_try_at: datetime | None
    waiting: int
    rejected: int
    unprocessed: int
    open_request: RequestSeen | None


async def folders(
    connection: AsyncConnection, *, folder_id: str | None = None, held: bool = False, after: str = "", limit: int = 1
) -> list[FolderSeen]:
    """The folder of this id, or `limit` folders after that one; with `held`, only those that wait for an operator."""
    rows = await connection.execute(
        text(f"""
            select d.folder_id, d.clouds_uuid, d.held, d.attempts, d.last_error, {_NEXT_TRY} as next_try_at,
                (select count(*) from recording r where r.folder_id = d.folder_id and r.waiting) as waiting,
                (select count(*) from recording r
                 where r.folder_id = d.folder_id and r.rejected is not null) as rejected,
                (select count(*) from transfer t where t.folder_id = d.folder_id
                    and not exists (select from recording r where r.recording_id = t.recording_id)) as unprocessed,
                q.id, q.kind, q.frozen_at, q.attempts as sends, q.keys_honoured,
                (select count(*) from frozen_file f where f.request_id = q.id) as files
            from folder d left join upload_request q using (folder_id)
            where (cast(:folder_id as text) is null or d.folder_id = :folder_id)
                and (not :held or d.held is not null) and d.folder_id > :after
            order by d.folder_id limit :limit
        """),  # noqa: S608  # this module's own text
        {"folder_id": folder_id, "held": held, "after": after, "limit": limit},
    )
    return [
        FolderSeen(
            folder_id=row.folder_id,
            clouds_uuid=row.clouds_uuid,
            held=row.held,
            attempts=row.attempts,
            last_error=row.last_error,
            next_try_at=row.next_try_at,
            waiting=row.waiting,
            rejected=row.rejected,
            unprocessed=row.unprocessed,
            open_request=RequestSeen(row.id, row.kind, row.frozen_at, row.sends, row.keys_honoured, row.files)
            if row.id
            else None,
        )
        for row in rows
    ]
