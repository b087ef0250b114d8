"""The SQL of what an operator sees: what is owed, what is blocked and why."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.predicates import ACKNOWLEDGED_LINK, ACKNOWLEDGED_TRANSFER, BEHIND, OWED

# The first that applies, so that no recording is counted twice. `shut`: the lane is stopped.
_BLOCKED = f"""
    select r.recording_id, r.folder_id, r.rejected as message, cast(null as timestamptz) as due_at, 'rejected' as reason
    from recording r where r.clouds_uuid is not null and r.rejected is not null and {BEHIND}
    union all
    select r.recording_id, r.folder_id, l.last_error, l.due_at,
        case when l.missing then 'missing_in_cloud' when l.attempts > 0 or :shut then 'retrying' end
    from ledger l join recording r on {OWED} and {BEHIND} where l.cursor < l.last_seq
"""  # noqa: S608  # this module's own text
_BLOCKED_REASONS = ("retrying", "rejected", "outcome_unknown", "missing_in_cloud")


@dataclass(frozen=True)
class RecordingSeen:
    """One recording as this service knows it."""

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


async def blocked_recordings(
    connection: AsyncConnection, *, folder_id: str | None, shut: bool, limit: int
) -> list[BlockedSeen]:
    """The first `limit` of what `blocked` counts: those that need a person, then those that are tried again."""
    rows = await connection.execute(
        text(f"""
            select recording_id, folder_id, reason, message, due_at from ({_BLOCKED}) b
            where reason is not null and (cast(:folder_id as text) is null or folder_id = :folder_id)
            order by reason = 'retrying', recording_id limit :limit
        """),  # noqa: S608  # this module's own text
        {"folder_id": folder_id, "shut": shut, "limit": limit},
    )
    return [BlockedSeen(*row) for row in rows]


async def owed(connection: AsyncConnection, *, folder_id: str | None) -> int:
    """Recordings that are to be pushed, forced ones included, and resyncs not carried out yet (one each).

    What lies in a folder that the cloud has lost is not counted: no push is tried there.
    """
    return int(
        await connection.scalar(
            text(f"""
                select (select count(*) from ledger l join recording r on {OWED}
                        where l.cursor < l.last_seq and not l.missing
                          and (cast(:folder_id as text) is null or r.folder_id = :folder_id))
                     + (select count(*) from sync_request where done_at is null)
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
                       coalesce({OWED}, false) as owed, b.reason, b.message, b.due_at as next_try_at
                from recording r left join ledger l using (clouds_uuid)
                    left join ({_BLOCKED}) b on b.recording_id = r.recording_id
                where r.recording_id = :recording_id
            """),  # noqa: S608  # this module's own text
            {"recording_id": recording_id, "shut": shut},
        )
    ).one_or_none()
    return RecordingSeen(*row) if row else None
