"""The SQL of what an operator sees: what is owed, what is blocked and why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.predicates import ACKNOWLEDGED_LINK, ACKNOWLEDGED_TRANSFER, BEHIND, OWED
from shared.sql import text
from shared.watch import Pending

_KEPT = "case when l.missing then 'missing_in_cloud' when l.attempts > 0 or :shut then 'retrying' end"
# The first that applies, so that no recording is counted twice. `shut`: the lane is stopped.
_BLOCKED = f"""
    select r.recording_id, r.folder_id, r.rejected as message, cast(null as timestamptz) as due_at, 'rejected' as reason
    from recording r where r.clouds_uuid is not null and r.rejected is not null and {BEHIND}
    union all
    select r.recording_id, r.folder_id, l.last_error, l.due_at, {_KEPT}
    from ledger l join recording r on {OWED} and {BEHIND} where l.cursor < l.last_seq
"""  # noqa: S608  # this module's own text
_BLOCKED_REASONS = ("retrying", "rejected", "outcome_unknown", "missing_in_cloud")


@dataclass(frozen=True)
class RecordingSeen:
    """One recording as this service knows it. `attempts`: pushes of its folder that failed in a row; `pushed_at`: the
    folder's last one that did not. `resyncs`: request_ids of those that select it and are not carried out yet.
    """

    recording_id: str
    folder_id: str | None
    clouds_uuid: str | None
    transfer_version: int
    link_version: int
    acknowledged_transfer_version: int
    acknowledged_link_version: int
    owed: bool
    reason: str | None
    message: str | None
    next_try_at: datetime | None
    link_place: int | None
    attempts: int | None
    pushed_at: datetime | None
    resyncs: Sequence[str]


async def blocked(connection: AsyncConnection, *, folder_id: str | None, shut: bool) -> Mapping[str, int]:
    """Recordings by the reason that keeps their newest link from the cloud; every reason is there."""
    rows = await connection.execute(
        text(f"""
            select reason, count(*) as count from ({_BLOCKED}) b
            where reason is not null and (cast(:folder_id as text) is null or folder_id = :folder_id) group by reason
        """),  # noqa: S608  # this module's own text
        {"folder_id": folder_id, "shut": shut},
    )
    counts = {reason: int(count) for reason, count in rows}
    return {reason: counts.get(reason, 0) for reason in _BLOCKED_REASONS}


@dataclass(frozen=True)
class BlockedSeen:
    """A recording whose newest link is kept from the cloud, and why."""

    recording_id: str
    folder_id: str | None
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
            select recording_id, folder_id, reason, message, due_at from ({_BLOCKED}) b
            where reason = coalesce(cast(:reason as text), reason)
                and (cast(:folder_id as text) is null or folder_id = :folder_id)
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
    """What is blocked, and how long the folder that has owed something for longest has done so."""
    oldest_s = await connection.scalar(
        text("select extract(epoch from now() - min(owed_since)) from ledger where cursor < last_seq")
    )
    return Pending(await blocked(connection, folder_id=None, shut=shut), max(0.0, float(oldest_s or 0)))


async def owed(connection: AsyncConnection, *, folder_id: str | None) -> int:
    """Recordings that are to be pushed, forced ones included, and resyncs not carried out yet (one each; not those
    that are paused).

    What lies in a folder that the cloud has lost is not counted: no push is tried there.
    """
    return int(
        await connection.scalar(
            text(f"""
                select (select count(*) from ledger l join recording r on {OWED}
                        where l.cursor < l.last_seq and not l.missing
                          and (cast(:folder_id as text) is null or r.folder_id = :folder_id))
                     + (select count(*) from sync_request where done_at is null and paused_at is null)
            """),  # noqa: S608  # this module's own text
            {"folder_id": folder_id},
        )
        or 0
    )


async def recording(connection: AsyncConnection, recording_id: str, *, shut: bool) -> RecordingSeen | None:
    """One recording, None if it was never heard of."""
    row = (
        await connection.execute(
            text(f"""
                select r.recording_id, r.folder_id, r.clouds_uuid, r.transfer_version, r.link_version,
                       {ACKNOWLEDGED_TRANSFER} as acknowledged_transfer_version,
                       {ACKNOWLEDGED_LINK} as acknowledged_link_version,
                       coalesce({OWED}, false) as owed,
                       case when not {BEHIND} then null when r.rejected is not null then 'rejected'
                            when {OWED} then {_KEPT} end as reason,
                       coalesce(r.rejected, l.last_error) as message,
                       case when r.rejected is null then l.due_at end as next_try_at,
                       r.link_place, l.attempts, l.pushed_at,
                       array(select s.request_id from sync_request s where s.done_at is null
                             and (s.recording_ids is null or r.recording_id = any(s.recording_ids))
                             and (s.folder_id is null or s.folder_id = r.folder_id)
                             order by s.received_at) as resyncs
                from recording r left join ledger l using (clouds_uuid)
                where r.recording_id = :recording_id
            """),  # noqa: S608  # this module's own text
            {"recording_id": recording_id, "shut": shut},
        )
    ).one_or_none()
    return RecordingSeen(*row) if row else None


async def folders(
    connection: AsyncConnection, *, folder_id: str | None, after: str, limit: int
) -> list[Mapping[str, Any]]:
    """Folders in the cloud, in order of their uuids, with how many recordings are there."""
    rows = await connection.execute(
        text("""
            select l.clouds_uuid, l.folder_id,
                (select count(*) from recording r where r.clouds_uuid = l.clouds_uuid) as recordings
            from ledger l
            where l.clouds_uuid > :after and (cast(:folder_id as text) is null or l.folder_id = :folder_id)
            order by l.clouds_uuid limit :limit
        """),
        {"folder_id": folder_id, "after": after, "limit": limit},
    )
    return [dict(row) for row in rows.mappings()]
