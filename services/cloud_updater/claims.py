"""The SQL of claims: lease one folder that is due, gather what it owes, and note what is about to be sent.

A recording is owed if its seq is beyond the ledger's cursor, its link is newer than what is known at its newest
transfer (or it is forced), and the cloud does not refuse it as it is. A noted claim that nobody ended was left by a
crash: what was sent may yet take effect, and its recordings get a duty, to be pushed once more.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.decisions import OwedFile

MAX_FILES = 500
MAX_BYTES = 4_000_000
SHORTEST_WAIT_S = 0.005

# The newest link of a recording `r` is newer than what the cloud is known to show.
BEHIND = "(r.transfer_version, r.link_version) > (r.known_transfer_version, r.known_link_version)"

# What a recording `r` of a ledger `l` owes; a recording that was never linked has no ticket row and owes nothing.
OWED = f"""
    r.clouds_uuid = l.clouds_uuid and r.seq > l.cursor and r.rejected is null and r.link_version > 0
    and r.known_transfer_version <= r.transfer_version
    and (r.forced or r.seq <= l.forced_until or {BEHIND})
"""


@dataclass(frozen=True)
class Claimed:
    """What one request is to hold, and what its outcome is recorded under. `up_to_seq`: the ledger's new cursor."""

    clouds_uuid: str
    token: UUID
    generation: int
    attempts: int
    up_to_seq: int
    files: Sequence[OwedFile]


class Claims:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(self, token: UUID, *, lease_s: float) -> Claimed | None:
        """Lease one due folder and gather what it owes, perhaps no file at all. None: no folder is due."""
        ledger = (
            await self._connection.execute(
                text("""
                    update ledger set
                        lease_token = :token,
                        lease_until = now() + make_interval(secs => :lease_s),
                        due_at = now() + make_interval(secs => :lease_s)
                    where clouds_uuid = (
                        select clouds_uuid from ledger
                        where due_at <= now() and not missing and (lease_until is null or lease_until < now())
                        order by due_at limit 1 for update skip locked)
                    returning clouds_uuid, generation, attempts, last_seq,
                        coalesce(batch_limit, :max_files) as batch_limit
                """),
                {"token": token, "lease_s": lease_s, "max_files": MAX_FILES},
            )
        ).one_or_none()
        if ledger is None:
            return None
        files = await self._owed(ledger.clouds_uuid, ledger.batch_limit)
        complete = not await self._owes_after(ledger.clouds_uuid, files[-1].seq) if files else True
        up_to_seq = ledger.last_seq if complete else files[-1].seq
        return Claimed(ledger.clouds_uuid, token, ledger.generation, ledger.attempts, up_to_seq, files)

    async def _owed(self, clouds_uuid: str, limit: int) -> list[OwedFile]:
        """In order of seq, as many as fit into one request; the first goes whatever its size."""
        rows = await self._connection.execute(
            text(f"""
                with owed as (
                    select r.recording_id, r.seq, r.link_version
                    from ledger l join recording r on {OWED}
                    where l.clouds_uuid = :uuid order by r.seq limit :limit
                ), measured as (
                    select owed.*, f.body as file, t.body as ticket,
                           sum(octet_length(f.body) + octet_length(t.body) + 100) over (order by seq) as bytes,
                           row_number() over (order by seq) as place
                    from owed join file f using (recording_id) join ticket t using (recording_id)
                )
                select recording_id, seq, link_version, file, ticket from measured
                where bytes <= :max_bytes or place = 1 order by seq
            """),  # noqa: S608  # OWED is this module's own text
            {"uuid": clouds_uuid, "limit": limit, "max_bytes": MAX_BYTES},
        )
        return [OwedFile(*row) for row in rows]

    async def _owes_after(self, clouds_uuid: str, seq: int) -> bool:
        return bool(
            await self._connection.scalar(
                text(f"""
                    select exists (select from ledger l join recording r on {OWED}
                                   where l.clouds_uuid = :uuid and r.seq > :seq)
                """),  # noqa: S608  # OWED is this module's own text
                {"uuid": clouds_uuid, "seq": seq},
            )
        )

    async def next_due_s(self) -> float | None:
        """Seconds until the next folder can be claimed; None: none is planned."""
        seconds = await self._connection.scalar(
            text("""
                select extract(epoch from min(greatest(due_at, lease_until)) - now()) from ledger
                where due_at is not null and not missing
            """)
        )
        return None if seconds is None else max(float(seconds), SHORTEST_WAIT_S)

    async def note(self, claimed: Claimed, *, guarded: bool) -> None:
        """Write down what is about to be sent, so that a crash leaves an unknown outcome and not nothing."""
        await self._connection.execute(
            text("""
                insert into claim (clouds_uuid, token, recording_ids, guarded, claimed_at)
                values (:uuid, :token, :ids, :guarded, now())
            """),
            {
                "uuid": claimed.clouds_uuid,
                "token": claimed.token,
                "ids": [one.recording_id for one in claimed.files],
                "guarded": guarded,
            },
        )

    async def end_claim(
        self, clouds_uuid: str, token: UUID | None, *, may_take_effect: bool, second_push_after_s: float
    ) -> None:
        """Remove a folder's noted claim, the one of this token or whichever there is.

        If it may yet take effect, and the cloud does not ignore older versions, its recordings are to be pushed once
        more later; nothing that is acknowledged in between takes that back.
        """
        await self._connection.execute(
            text("""
                with ended as (
                    delete from claim where clouds_uuid = :uuid and token = coalesce(cast(:token as uuid), token)
                    returning recording_ids, guarded
                )
                insert into duty (recording_id, due_at)
                select id, now() + make_interval(secs => :after_s)
                from ended, unnest(ended.recording_ids) as u (id)
                where :may_take_effect and not ended.guarded
                order by id
                on conflict (recording_id) do update set due_at = excluded.due_at
            """),
            {
                "uuid": clouds_uuid,
                "token": token,
                "after_s": second_push_after_s,
                "may_take_effect": may_take_effect,
            },
        )

    async def due_duties(self, limit: int) -> Collection[str]:
        """Take recordings whose second push is due."""
        rows = await self._connection.execute(
            text("""
                delete from duty where recording_id in (
                    select recording_id from duty where due_at <= now()
                    order by recording_id limit :limit for update skip locked)
                returning recording_id
            """),
            {"limit": limit},
        )
        return [row.recording_id for row in rows]
