"""The SQL of what becomes of requests and their folders: after answers of the cloud, or on an operator's word.

Each call is one transaction's part; the caller holds the folders. A request is closed by deleting it: its recordings
are free at that moment, either because they are transferred or for a new request.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, assert_never
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import CloudsUuid, FolderId
from services.transfer.answers import (
    Conclusion,
    FolderMissing,
    HoldRequest,
    Narrow,
    Release,
    Repeat,
    Transferred,
)
from services.transfer.lots import MAX_FILES
from services.transfer.requests import OpenRequest, Requests
from services.transfer.transfers import TransferRow, Transfers
from services.transfer.upload_body import files_in
from services.transfer.uploads import LOOKED_AT, NEXT_LOOK, Uploads
from shared.arrays import with_arrays
from shared.sql import text


@dataclass(frozen=True)
class Verdict:
    """A request, and what follows. `max_files`: of the folder's requests so far; unless that changes it, it stays."""

    request: OpenRequest
    conclusion: Conclusion
    max_files: int


class End(NamedTuple):
    """How a folder goes on: at once, or after `wait_s`, or not before an operator answers (`held`).

    `done`: only if anything waits in it.
    """

    folder_id: FolderId
    max_files: int
    message: str | None = None
    wait_s: float = 0
    failed: bool = False
    held: str | None = None
    done: bool = False


class Conclusions:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection
        self._requests = Requests(connection)

    async def lock(self, folder_ids: Collection[FolderId]) -> None:
        """Wait until these folders are nobody else's."""
        await self._connection.execute(
            with_arrays("""
                select from folder where folder_id = any(cast(:folder_ids as text[]))
                order by folder_id for no key update
            """),
            {"folder_ids": list(folder_ids)},
        )

    async def leases(self, folder_ids: Collection[FolderId]) -> dict[FolderId, UUID | None]:
        """Lock those of these folders that nobody else has locked now: the tokens of their leases."""
        rows = await self._connection.execute(
            with_arrays("""
                select folder_id, lease_token from folder where folder_id = any(cast(:folder_ids as text[]))
                order by folder_id for no key update skip locked
            """),
            {"folder_ids": list(folder_ids)},
        )
        return {row.folder_id: row.lease_token for row in rows}

    async def may_record(
        self, verdicts: Sequence[tuple[Verdict, UUID]], leases: Mapping[FolderId, UUID | None]
    ) -> list[Verdict]:
        """Each comes with the token of its lease; returned are those that may be recorded. The folders are locked.

        Not if somebody else has the lease by now, or the request was closed otherwise. That it has had its effect is
        true whenever it is heard. So that counts also if nobody has the lease: the request was put on hold meanwhile,
        or waits for its repeat.
        """
        # A statement of its own: one that had waited for the lock would see requests as they were before that.
        found = await self._connection.scalars(
            with_arrays("select id from upload_request where id = any(cast(:ids as uuid[]))"),
            {"ids": [one.request.id for one, _ in verdicts]},
        )
        still_open = set(found)

        def may(one: Verdict, token: UUID) -> bool:
            lease = leases.get(one.request.folder_id)
            is_ours = lease == token or (lease is None and isinstance(one.conclusion, Transferred))
            return is_ours and one.request.id in still_open

        return list({one.request.id: one for one, token in verdicts if may(one, token)}.values())

    async def record(self, verdicts: Sequence[Verdict]) -> None:
        """Apply them. The caller has locked the folders."""
        effective = [(one.request, one.conclusion) for one in verdicts if isinstance(one.conclusion, Transferred)]
        if effective:
            await self._transferred([(request, conclusion.clouds_uuid) for request, conclusion in effective])
        if closed := [one.request for one in verdicts if not isinstance(one.conclusion, Repeat | HoldRequest)]:
            await self._requests.close(closed)
        for one in verdicts:
            if isinstance(one.conclusion, Narrow):
                sent = () if one.conclusion.newer_too else one.request.files
                await Uploads(self._connection).reject(one.conclusion.rejected, sent=sent)
        await self._settle([_end_of(one) for one in verdicts])

    async def _transferred(self, effective: Sequence[tuple[OpenRequest, CloudsUuid]]) -> None:
        """The facts, made of the bytes that were sent; they are announced from their rows."""
        moments = await self._place({request.folder_id: clouds_uuid for request, clouds_uuid in effective})
        await Transfers(self._connection).put(
            [
                TransferRow(
                    frozen.recording_id,
                    request.folder_id,
                    clouds_uuid,
                    frozen.transfer_version,
                    file["filename"],
                    file["size"],
                    file["token"],
                    file["transcribe"],
                    frozen.link_version,
                    moments[request.folder_id],
                )
                for request, clouds_uuid in effective
                for frozen, file in zip(request.files, files_in(request.body), strict=True)
            ]
        )

    async def _place(self, uuids: Mapping[FolderId, CloudsUuid]) -> dict[FolderId, datetime]:
        """These folders are there, since when is returned: now, but after every earlier transfer into each, even if the
        clock was set back.
        """
        rows = await self._connection.execute(
            with_arrays("""
                update folder set clouds_uuid = u.clouds_uuid,
                    uuid_since = greatest(now(), uuid_since + interval '1 microsecond')
                from unnest(cast(:folder_ids as text[]), cast(:uuids as text[])) as u (folder_id, clouds_uuid)
                where folder.folder_id = u.folder_id
                returning folder.folder_id, uuid_since
            """),
            {"folder_ids": list(uuids), "uuids": list(uuids.values())},
        )
        return {row.folder_id: row.uuid_since for row in rows}

    async def _settle(self, ends: Sequence[End]) -> None:
        """End the leases and have the folders looked at again, if there may be more."""
        await self._connection.execute(
            with_arrays("""
                update folder set lease_token = null, lease_until = null,
                    due_at = case when not u.done
                        or exists (select from recording r where r.folder_id = folder.folder_id and r.waiting)
                        then now() end,
                    retry_at = now() + u.wait_us * interval '1 microsecond',
                    attempts = case when u.failed then attempts + 1 else 0 end,
                    last_error = u.message, held = u.held, max_files = u.max_files
                from unnest(cast(:folder_ids as text[]), cast(:waits_us as bigint[]), cast(:failed as boolean[]),
                        cast(:messages as text[]), cast(:held as text[]), cast(:max_files as int[]),
                        cast(:done as boolean[]))
                    as u (folder_id, wait_us, failed, message, held, max_files, done)
                where folder.folder_id = u.folder_id
            """),
            {
                "folder_ids": [one.folder_id for one in ends],
                "waits_us": [round(one.wait_s * 1_000_000) or None for one in ends],
                "failed": [one.failed for one in ends],
                "messages": [one.message for one in ends],
                "held": [one.held for one in ends],
                "max_files": [None if one.max_files >= MAX_FILES else one.max_files for one in ends],
                "done": [one.done for one in ends],
            },
        )

    async def retry_now(self) -> None:
        """Let every folder that waits for its next try be due at once.

        They are among those whose next look is to come, which an index knows.
        """
        await self._connection.execute(
            text(f"""
                update folder set retry_at = null where folder_id in (
                    select folder_id from folder where {LOOKED_AT} and {NEXT_LOOK} > now() and retry_at > now()
                    order by folder_id for no key update)
            """)  # noqa: S608  # this module's own text
        )

    async def held_request(self, folder_id: FolderId) -> OpenRequest | None:
        """Lock the folder. Its open request, if it waits for an operator's word about that."""
        held = await self._connection.execute(
            text("""
                select 1 from folder where folder_id = :folder_id and held = 'outcome_unknown' for no key update
            """),
            {"folder_id": folder_id},
        )
        if held.one_or_none() is None:
            return None
        return (await self._requests.of([folder_id])).get(folder_id)


def _end_of(one: Verdict) -> End:
    folder_id, max_files = one.request.folder_id, one.max_files
    match one.conclusion:
        case Transferred(_, wider):
            return End(folder_id, wider, done=True)
        case Release(message, wait_s) | Repeat(message, wait_s):
            return End(folder_id, max_files, message, wait_s, failed=True)
        case Narrow(message, _, narrower):
            return End(folder_id, narrower, message)
        case HoldRequest():
            return End(folder_id, max_files, one.conclusion.in_words, failed=True, held="outcome_unknown")
        case FolderMissing(message):
            return End(folder_id, max_files, message, held="missing_in_cloud")
        case never:
            assert_never(never)
