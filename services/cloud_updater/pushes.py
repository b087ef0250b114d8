"""The SQL of outcomes: what became of a push, recorded under the lease that it was claimed with.

Every write asks for the lease's token, so that a worker that lost its lease changes nothing, and for the uuid that was
sent to: a recording that has moved to another folder meanwhile owes the outcome nothing. Locks are taken in one order:
duties, then recordings, then the ledger.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.claims import Claimed
from services.cloud_updater.decisions import MAX_FILES
from shared.arrays import with_arrays
from shared.sql import text

# Run at start by a process that is alone: what is leased then was left behind by one that died.
FREE_LEASES = "update ledger set lease_until = now(), due_at = now() where lease_until > now()"


class LeaseLost(Exception):
    """Somebody else has the folder now: roll back, for nothing of what was found out counts any more."""


class Pushes:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(self, uuid: str) -> None:
        """Wait until this folder is nobody else's."""
        await self._connection.execute(text("select from ledger where clouds_uuid = :uuid for update"), {"uuid": uuid})

    async def acknowledged(self, claimed: Sequence[Claimed], *, quiet_s: float) -> frozenset[str]:
        """Move the cursors, except of folders that were set back meanwhile. Returns the folders still leased so.

        A folder that somebody else has locked is left out: whoever waits for it must not keep up the others.
        """
        done = await self._connection.execute(
            with_arrays("""
                with sent as materialized (
                    select u.* from unnest(cast(:uuids as text[]), cast(:tokens as uuid[]), cast(:generations as int[]),
                                           cast(:seqs as bigint[]), cast(:full_at as int[]), cast(:sent as boolean[]))
                            as u (clouds_uuid, token, generation, up_to_seq, full_at, sent)
                        join ledger l on l.clouds_uuid = u.clouds_uuid and l.lease_token = u.token
                    order by l.clouds_uuid for update of l skip locked
                )
                update ledger set
                    cursor = case when ledger.generation = sent.generation then greatest(cursor, up_to_seq)
                                  else cursor end,
                    due_at = case when ledger.generation <> sent.generation or last_seq - up_to_seq >= full_at
                                      then now()
                                  when last_seq > up_to_seq
                                      then greatest(now(), changed_at + make_interval(secs => :quiet_s)) end,
                    owed_since = case when ledger.generation <> sent.generation or last_seq > up_to_seq
                                      then now() end,
                    lease_token = null, lease_until = null, attempts = 0, last_error = null,
                    batch_limit = nullif(least(batch_limit * 2, :max_files), :max_files),
                    pushed_at = case when sent.sent then now() else pushed_at end
                from sent where ledger.clouds_uuid = sent.clouds_uuid
                returning ledger.clouds_uuid
            """),
            {
                "uuids": [one.clouds_uuid for one in claimed],
                "tokens": [one.token for one in claimed],
                "generations": [one.generation for one in claimed],
                "seqs": [one.up_to_seq for one in claimed],
                "full_at": [one.full_at for one in claimed],
                "sent": [bool(one.files) for one in claimed],
                "quiet_s": quiet_s,
                "max_files": MAX_FILES,
            },
        )
        return frozenset(done.scalars())

    async def arrived(self, claimed: Claimed) -> None:
        """The cloud has this much of what is claimed; what became of the rest is recorded in the same transaction."""
        await self._connection.execute(
            text("""
                update ledger set cursor = greatest(cursor, :up_to_seq), pushed_at = now(), attempts = 0
                where clouds_uuid = :uuid and lease_token = :token and generation = :generation
            """),
            {
                "uuid": claimed.clouds_uuid,
                "token": claimed.token,
                "generation": claimed.generation,
                "up_to_seq": claimed.up_to_seq,
            },
        )

    async def failed(self, claimed: Claimed, *, wait_s: float, message: str) -> None:
        """Try again after `wait_s` seconds. Raises LeaseLost."""
        done = await self._connection.execute(
            text("""
                update ledger set
                    due_at = now() + make_interval(secs => :wait_s), lease_token = null, lease_until = null,
                    attempts = attempts + 1, last_error = :message
                where clouds_uuid = :uuid and lease_token = :token
            """),
            {"uuid": claimed.clouds_uuid, "token": claimed.token, "wait_s": wait_s, "message": message},
        )
        _require_one(done.rowcount)

    async def narrowed(self, claimed: Claimed, *, batch_limit: int | None, message: str | None) -> None:
        """Go on at once, with at most `batch_limit` files if given. Raises LeaseLost."""
        done = await self._connection.execute(
            text("""
                update ledger set
                    due_at = now(), lease_token = null, lease_until = null, last_error = :message,
                    batch_limit = coalesce(:batch_limit, batch_limit)
                where clouds_uuid = :uuid and lease_token = :token
            """),
            {"uuid": claimed.clouds_uuid, "token": claimed.token, "batch_limit": batch_limit, "message": message},
        )
        _require_one(done.rowcount)

    async def missing(self, claimed: Claimed, *, message: str) -> None:
        """The cloud has lost the folder: no push is tried there until somebody asks for it. Raises LeaseLost."""
        done = await self._connection.execute(
            text("""
                update ledger set
                    missing = true, due_at = null, lease_token = null, lease_until = null,
                    attempts = attempts + 1, last_error = :message
                where clouds_uuid = :uuid and lease_token = :token
            """),
            {"uuid": claimed.clouds_uuid, "token": claimed.token, "message": message},
        )
        _require_one(done.rowcount)

    async def reject(self, claimed: Claimed, messages: Mapping[int, str]) -> None:
        """Put these files (by place in the request) out of the way, unless they have changed or moved since."""
        rejected = [(claimed.files[place], message) for place, message in sorted(messages.items())]
        await self._connection.execute(
            text("""
                with named as (
                    select r.recording_id, u.message
                    from unnest(cast(:ids as text[]), cast(:seqs as bigint[]), cast(:messages as text[]))
                        as u (recording_id, seq, message) join recording r using (recording_id)
                    where r.clouds_uuid = :uuid and r.seq = u.seq
                    order by r.recording_id for update of r
                )
                update recording set rejected = named.message
                from named where recording.recording_id = named.recording_id
            """),
            {
                "uuid": claimed.clouds_uuid,
                "ids": [one.recording_id for one, _ in rejected],
                "seqs": [one.seq for one, _ in rejected],
                "messages": [message for _, message in rejected],
            },
        )

    async def retry_now(self) -> None:
        """Let every folder that waits for its next try be due at once."""
        await self._connection.execute(
            text("""
                update ledger set due_at = now() where clouds_uuid in (
                    select clouds_uuid from ledger where attempts > 0 and due_at > now() and lease_token is null
                    order by clouds_uuid for update skip locked)
            """)
        )


def _require_one(rows: int) -> None:
    if rows != 1:
        raise LeaseLost
