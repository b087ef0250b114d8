"""The SQL of claims: lease one folder that is due, gather what it owes, and note what is about to be sent.

A noted claim that nobody ended was left by a crash: what was sent may yet take effect, and its recordings get a duty,
to be pushed once more. Until then its folder cannot be claimed. What is limited is materialized: PostgreSQL may run a
subquery again for each row of the outer table, and then `skip locked` finds others each time, beyond the limit.
"""

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.decisions import MAX_FILES, OwedFile
from services.cloud_updater.listed_files import ListedFiles
from services.cloud_updater.predicates import OWED
from shared.sql import text

MAX_BYTES = 4_000_000
# Of a large folder, under one lease; together they are no larger than one may be.
MAX_REQUESTS = 4
SHORTEST_WAIT_S = 0.005

# Before what a folder owes is asked for in the order of an index, up to a limit. A bitmap forgets that order: where all
# that there is seems to be some rows, to read and sort them looks cheaper, and of 68,000 that took 40 ms for 500.
_FOLLOW_INDEX = text("set local enable_bitmapscan = off")

# A ledger `l` whose folder may be claimed once it is due. One with a noted claim had its worker taken away.
_CLAIMABLE = "not l.missing and not exists (select from claim c where c.clouds_uuid = l.clouds_uuid)"

_DUTIES = """
    insert into duty (recording_id, due_at)
    select distinct id, now() + make_interval(secs => :after_s) from ended, unnest(ended.recording_ids) as u (id)
    where :may_take_effect order by id
    on conflict (recording_id) do update set due_at = excluded.due_at
"""


@dataclass(frozen=True)
class Claimed:
    """One request, and what its outcome is recorded under. `up_to_seq`: the ledger's new cursor.

    `full_at`: how many files fill a request there, as far as this one tells: as many as it has, if more did not fit.
    `body`: each file with its present ticket, null to remove it, as the cloud takes it. `then`: what goes out after it
    under the same lease, if the cloud takes it.
    """

    clouds_uuid: str
    token: UUID
    generation: int
    attempts: int
    up_to_seq: int
    full_at: int
    files: Sequence[OwedFile]
    body: bytes = field(repr=False)
    then: "Sequence[Claimed]" = ()


class Owed(NamedTuple):
    """What of a folder fits into one request; `last_seq`: of these; `more`: it owes others after them."""

    files: Sequence[OwedFile]
    last_seq: int
    more: bool
    body: bytes


NOTHING_OWED = Owed((), last_seq=0, more=False, body=b"")


class Claims:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def claim(
        self, token: UUID, *, lease_s: float, with_versions: bool, limit: int = 1, requests: int = 1
    ) -> list[Claimed]:
        """Lease up to `limit` due folders and gather what each owes, perhaps no file at all.

        Of few folders more than one request, as long as all are no more than `requests`.
        """
        ledgers = (
            await self._connection.execute(
                text(f"""
                    with due as materialized (
                        select clouds_uuid from ledger l
                        where due_at <= now() and (lease_until is null or lease_until < now()) and {_CLAIMABLE}
                        order by due_at limit :limit for update skip locked
                    )
                    update ledger set
                        lease_token = :token,
                        lease_until = now() + make_interval(secs => :lease_s),
                        due_at = now() + make_interval(secs => :lease_s)
                    from due where ledger.clouds_uuid = due.clouds_uuid
                    returning ledger.clouds_uuid, generation, attempts, last_seq
                """),  # noqa: S608  # this module's own text
                {"token": token, "lease_s": lease_s, "limit": limit},
            )
        ).all()
        if not ledgers:
            return []
        uuids, of_each = [one.clouds_uuid for one in ledgers], max(1, requests // len(ledgers))
        owed = await self._owed(uuids, with_versions=with_versions, requests=of_each)
        claimed = []
        for one in ledgers:
            first, *then = [
                Claimed(
                    one.clouds_uuid,
                    token,
                    one.generation,
                    one.attempts if place == 0 else 0,  # what follows is sent after a success
                    due.last_seq if due.more else one.last_seq,
                    len(due.files) if due.more else MAX_FILES,
                    due.files,
                    due.body,
                )
                for place, due in enumerate(owed.get(one.clouds_uuid, [NOTHING_OWED]))
            ]
            claimed.append(replace(first, then=then))
        return claimed

    async def _owed(self, uuids: Sequence[str], *, with_versions: bool, requests: int) -> dict[str, list[Owed]]:
        """By folder, in order of seq: what fits into one request, the first file whatever its size; what fills others.

        The requests are put together here: file and ticket stand ready as JSON, and to fetch and join them one by one
        would cost several times as much. The brace that ends a file, which holds no object, is cut off its bytes: of a
        text, PostgreSQL would count all characters. Of a file that does not fit, nothing but its length is read.
        """
        await self._connection.execute(_FOLLOW_INDEX)
        rows = await self._connection.execute(
            text(f"""
                select l.clouds_uuid, request.* from ledger l cross join lateral (
                    with owed as (
                        select r.recording_id, r.seq, r.link_version, r.ticket from recording r
                        where {OWED} order by r.seq limit coalesce(l.batch_limit, :max_rows) + 1
                    ), measured as (
                        select owed.*, f.body as file,
                               sum(octet_length(f.body) + octet_length(ticket) + 100) over (order by seq) as bytes,
                               row_number() over (order by seq) as place
                        from owed join file f using (recording_id)
                    )
                    select count(*) as number, max(seq) as last_seq,
                        cast(to_json(array_agg(recording_id order by seq)) as text) as ids,
                        cast(to_json(array_agg(seq order by seq)) as text) as seqs,
                        cast(to_json(array_agg(link_version order by seq)) as text) as versions,
                        (select count(*) from owed) > max(place) as more,
                        cast('{{"files":[' as bytea) || string_agg(
                            rtrim(convert_to(file, 'UTF8'), cast('}}' as bytea)) || convert_to(
                                ',"ticket_info":' || ticket || case when :with_versions
                                    then ',"link_version":' || link_version else '' end || '}}', 'UTF8'),
                            cast(',' as bytea) order by seq) || cast(']}}' as bytea) as body
                    from measured
                    where place <= coalesce(l.batch_limit, :max_rows) and bytes <= :max_bytes or place = 1
                    group by (place - 1) / :max_files having min(place) = 1 or count(*) = :max_files
                ) request
                where l.clouds_uuid = any(:uuids) order by l.clouds_uuid, last_seq
            """),  # noqa: S608  # this module's own text
            {
                "uuids": uuids,
                "max_files": MAX_FILES,
                "max_rows": MAX_FILES * requests,
                "max_bytes": MAX_BYTES,
                "with_versions": with_versions,
            },
        )
        owed = defaultdict(list)
        for uuid, number, last_seq, ids, seqs, versions, more, body in rows:
            owed[uuid].append(Owed(ListedFiles(number, ids, seqs, versions), last_seq, more, body))
        return owed

    async def next_due_s(self) -> float | None:
        """Seconds until the next folder can be claimed; None: none is planned."""
        seconds = await self._connection.scalar(
            text(f"""
                select extract(epoch from min(greatest(due_at, lease_until)) - now()) from ledger l
                where due_at is not null and {_CLAIMABLE}
            """)  # noqa: S608  # this module's own text
        )
        return None if seconds is None else max(float(seconds), SHORTEST_WAIT_S)

    async def note(self, claimed: Claimed) -> None:
        """Write down what is about to be sent, so that a crash leaves an unknown outcome and not nothing.

        Only for a cloud that takes whatever comes last: one that ignores older versions cannot be harmed by a late one.
        """
        await self._connection.execute(
            text("insert into claim (clouds_uuid, token, recording_ids) values (:uuid, :token, :ids)"),
            {
                "uuid": claimed.clouds_uuid,
                "token": claimed.token,
                "ids": [file.recording_id for one in (claimed, *claimed.then) for file in one.files],
            },
        )

    async def end_claim(self, claimed: Claimed, *, may_take_effect: bool, second_push_after_s: float) -> None:
        """Remove a noted claim. If this request of it may yet take effect, its recordings are to be pushed once more.

        Nothing that is acknowledged in between takes that back.
        """
        await self._connection.execute(
            text(f"""
                with ended as (
                    delete from claim where clouds_uuid = :uuid and token = :token
                    returning cast(:ids as text[]) as recording_ids
                )
                {_DUTIES}
            """),  # noqa: S608  # this module's own text
            {
                "uuid": claimed.clouds_uuid,
                "token": claimed.token,
                "ids": [one.recording_id for one in claimed.files],
                "after_s": second_push_after_s,
                "may_take_effect": may_take_effect,
            },
        )

    async def push_once_more(self, files: Sequence[OwedFile], *, after_s: float) -> None:
        """Their recordings are to be pushed once more, whoever has the folder now: what was sent came late."""
        await self._connection.execute(
            text(f"with ended as (select cast(:ids as text[]) as recording_ids) {_DUTIES}"),  # our own text
            {"ids": [one.recording_id for one in files], "after_s": after_s, "may_take_effect": True},
        )

    async def end_claims_of_the_dead(self, *, second_push_after_s: float) -> int:
        """The same for claims whose worker never came back: their lease is over. Returns how many duties it made.

        In a transaction of its own: it takes no lock on a ledger.
        """
        made = await self._connection.execute(
            text(f"""
                with ended as (
                    delete from claim where clouds_uuid in (
                        select c.clouds_uuid from claim c left join ledger l using (clouds_uuid)
                        where l.lease_token is distinct from c.token or l.lease_until < now()
                        order by c.clouds_uuid for update of c skip locked)
                    returning recording_ids
                )
                {_DUTIES}
            """),  # noqa: S608  # this module's own text
            {"after_s": second_push_after_s, "may_take_effect": True},
        )
        return made.rowcount

    async def due_duties(self, limit: int) -> Collection[str]:
        """Take recordings whose second push is due."""
        rows = await self._connection.execute(
            text("""
                with due as materialized (
                    select recording_id from duty where due_at <= now()
                    order by recording_id limit :limit for update skip locked
                )
                delete from duty using due where duty.recording_id = due.recording_id
                returning duty.recording_id
            """),
            {"limit": limit},
        )
        return [row.recording_id for row in rows]
