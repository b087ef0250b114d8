"""The SQL of resync requests: taken up once, carried out step by step, paused, resumed and cancelled in between.

How far one is stands in its row, so it goes on after a restart where it stood. What a step has made owed is owed, and a
pause or the end of the request takes nothing of it back.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import CursorResult
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.audited import Audited
from schemas.events import TicketSyncRequested
from services.cloud_updater.decisions import OpenRequest
from shared import audit
from shared.sql import text


class ResyncRequests:
    """One transaction's view of the table `sync_request`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def receive(self, requests: Iterable[tuple[TicketSyncRequested, datetime]]) -> int:
        """Store requests, each with when it was asked for, that are new and not older than this database.

        Returns how many were.
        """
        new = 0
        for request, asked_at in requests:
            stored = await self._connection.execute(
                text("""
                    insert into sync_request (request_id, requested_at, requested_by, force, recording_ids, folder_id,
                                              rate_per_minute, received_at, after_uuid, made_owed)
                    select :request_id, :requested_at, :requested_by, :force, cast(:recording_ids as text[]),
                           :folder_id, cast(:rate_per_minute as int), now(), '', 0
                    from origin where created_at <= :asked_at
                    on conflict do nothing
                """),
                {
                    "request_id": request.request_id,
                    "requested_at": request.requested_at,
                    "requested_by": request.requested_by,
                    "force": request.force,
                    "recording_ids": list(request.recording_ids) if request.recording_ids else None,
                    "folder_id": request.folder_id,
                    "rate_per_minute": request.rate_per_minute,
                    "asked_at": asked_at,
                },
            )
            new += stored.rowcount
            if stored.rowcount:
                await audit.record(
                    self._connection,
                    who=request.requested_by,
                    what="resync_taken_up",
                    subject=request.request_id,
                    detail={"force": request.force, **_selection(request)},
                )
        return new

    async def next_open(self) -> OpenRequest | None:
        """Lock the one whose turn it is: the oldest of those that do not wait for their next step."""
        row = (
            (
                await self._connection.execute(
                    text("""
                    select force, recording_ids, folder_id, request_id, after_uuid, rate_per_minute,
                        coalesce(made_owed_at, received_at) as turn_at
                    from sync_request
                    where done_at is null and paused_at is null and (next_at is null or next_at <= now())
                    order by next_at nulls first, received_at, request_id limit 1 for update skip locked
                """)
                )
            )
            .mappings()
            .one_or_none()
        )
        return OpenRequest(**row) if row else None

    async def progress(self, request: OpenRequest, *, after_uuid: str, made_owed: int, wait_s: float) -> None:
        """Remember how far it is carried out, and when its next step may be."""
        await self._connection.execute(
            text("""
                update sync_request set after_uuid = :after, made_owed = made_owed + :made_owed,
                    made_owed_at = case when :made_owed > 0 then now() else made_owed_at end,
                    next_at = case when :wait_s > 0 then now() + make_interval(secs => :wait_s) end
                where request_id = :request_id
            """),
            {"request_id": request.request_id, "after": after_uuid, "made_owed": made_owed, "wait_s": float(wait_s)},
        )

    async def wait(self, request: OpenRequest, *, wait_s: float) -> None:
        """Let others have their turn meanwhile."""
        await self._connection.execute(
            text("""
                update sync_request set next_at = now() + make_interval(secs => :wait_s) where request_id = :request_id
            """),
            {"request_id": request.request_id, "wait_s": float(wait_s)},
        )

    async def finish(self, request: OpenRequest) -> None:
        """It is carried out in full."""
        await self._connection.execute(
            text("update sync_request set done_at = now(), next_at = null where request_id = :request_id"),
            {"request_id": request.request_id},
        )

    async def pause(self, request_id: str, *, who: str | None) -> bool:
        """Make no more of it owed until it is resumed. False: it is not open, or paused already."""
        return await self._changed(
            await self._connection.execute(
                text("""
                    update sync_request set paused_at = now()
                    where request_id = :request_id and done_at is null and paused_at is null
                """),
                {"request_id": request_id},
            ),
            request_id,
            what="resync_paused",
            who=who,
        )

    async def resume(self, request_id: str, *, who: str | None) -> bool:
        """Go on where it stood. False: it is not open, or not paused."""
        return await self._changed(
            await self._connection.execute(
                text("""
                    update sync_request set paused_at = null
                    where request_id = :request_id and done_at is null and paused_at is not null
                """),
                {"request_id": request_id},
            ),
            request_id,
            what="resync_resumed",
            who=who,
        )

    async def cancel(self, request_id: str, *, who: str | None) -> bool:
        """End it as it stands. False: it is not open."""
        return await self._changed(
            await self._connection.execute(
                text("""
                    update sync_request set done_at = now(), cancelled_at = now(), paused_at = null, next_at = null
                    where request_id = :request_id and done_at is null
                """),
                {"request_id": request_id},
            ),
            request_id,
            what="resync_cancelled",
            who=who,
        )

    async def _changed(self, updated: CursorResult[Any], request_id: str, *, what: Audited, who: str | None) -> bool:
        if updated.rowcount:
            await audit.record(self._connection, who=who, what=what, subject=request_id, detail={})
        return bool(updated.rowcount)


def _selection(request: TicketSyncRequested) -> Mapping[str, object]:
    if request.recording_ids:
        return {"recordings": len(request.recording_ids)}
    return {"folder_id": request.folder_id} if request.folder_id else {"all": True}
