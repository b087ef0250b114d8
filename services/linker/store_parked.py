"""The SQL of parked links: requests that wait for their recording.

Whatever the order in which a recording arrives and a request for it is parked, one of the two finds the other: an
arrival is noted in the transaction that stores the recording, a parked link is marked fresh in the one that parks it,
and the loop looks at either only after it is committed.
"""

import hashlib
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketDetails
from services.linker.decisions import LinkRequest, Target

_COLUMNS = """p.request_id, p.requested_at, p.recording_id, p.filename, p.folder, p.ticket, p.source, p.linked_by,
              p.import_id"""
# An id is meant before a name.
_IN_FOLDER = """(p.folder is null or p.folder = r.folder_id or (p.folder = r.folder_name
                 and not exists (select from recording other where other.folder_id = p.folder)))"""
_WRITERS = 7_411_101  # any constant that no other advisory lock of this database has


@dataclass(frozen=True)
class Pair:
    """A parked request and the recording that it goes to."""

    request: LinkRequest
    recording_id: str


def target_key(target: Target) -> str:
    """What makes two requests be for the same recording as long as that is unknown; hashed, to fit into an index."""
    named = json.dumps([target.recording_id, target.folder, target.name_key])
    return hashlib.sha256(named.encode()).hexdigest()


class Parked:
    """One transaction's view of the tables `parked_link` and `arrival`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def waiting(self, targets: Collection[Target]) -> dict[str, LinkRequest]:
        """By target key, the request that is parked for it; nobody else parks or settles until the commit."""
        await self._one_at_a_time()
        rows = await self._connection.execute(
            text(f"""
                select {_COLUMNS}, p.target from parked_link p
                where p.target = any(:targets) and p.state = 'parked'
            """),  # noqa: S608  # this module's own text
            {"targets": [target_key(one) for one in targets]},
        )
        return {row.target: _request(row) for row in rows}

    async def chosen(self, requests: Sequence[LinkRequest]) -> dict[str, str]:
        """For requests that come again, the recording that they were applied to when it arrived: no new choice."""
        rows = await self._connection.execute(
            text("""
                select request_id, target, applied_to from parked_link
                where request_id = any(:ids) and state = 'applied' and applied_to is not null
            """),
            {"ids": [one.request_id for one in requests]},
        )
        applied = {(row.request_id, row.target): row.applied_to for row in rows}
        return {
            one.request_id: applied[one.request_id, key]
            for one in requests
            if applied and (one.request_id, key := target_key(one.target)) in applied
        }

    async def park(self, requests: Sequence[LinkRequest]) -> None:
        """Park these, one per target at most; what was parked for their targets must have been settled."""
        ordered = sorted(requests, key=lambda one: target_key(one.target))
        await self._connection.execute(
            text("""
                insert into parked_link (request_id, target, recording_id, folder, filename, name_key, has_extension,
                                         ticket, source, requested_at, linked_by, import_id, parked_at, fresh, state)
                select u.*, now(), true, 'parked'
                from unnest(
                    cast(:requests as text[]), cast(:targets as text[]), cast(:ids as text[]), cast(:folders as text[]),
                    cast(:filenames as text[]), cast(:names as text[]), cast(:extended as boolean[]),
                    cast(:tickets as text[]), cast(:sources as text[]), cast(:requested as timestamptz[]),
                    cast(:linked_by as text[]), cast(:imports as text[])) as u
                on conflict (request_id) do nothing
            """),
            {
                "requests": [one.request_id for one in ordered],
                "targets": [target_key(one.target) for one in ordered],
                "ids": [one.target.recording_id for one in ordered],
                "folders": [one.target.folder for one in ordered],
                "filenames": [one.target.filename for one in ordered],
                "names": [one.target.name_key for one in ordered],
                "extended": [one.target.has_extension for one in ordered],
                "tickets": [one.ticket.model_dump_json() if one.ticket else None for one in ordered],
                "sources": [one.source for one in ordered],
                "requested": [one.requested_at for one in ordered],
                "linked_by": [one.linked_by for one in ordered],
                "imports": [one.import_id for one in ordered],
            },
        )

    async def settle(self, request_ids: Collection[str], state: str, *, applied_to: Sequence[str] | None = None) -> int:
        """These wait no more; `applied_to` names their recordings, in the same order. Returns how many had waited."""
        if not request_ids:
            return 0
        await self._one_at_a_time()
        settled = await self._connection.execute(
            text("""
                update parked_link p set state = :state, fresh = false, applied_to = u.applied_to
                from unnest(cast(:ids as text[]), cast(:applied_to as text[])) as u (request_id, applied_to)
                where p.request_id = u.request_id and p.state = 'parked'
            """),
            {
                "ids": list(request_ids),
                "state": state,
                "applied_to": list(applied_to) if applied_to else [None] * len(request_ids),
            },
        )
        return settled.rowcount

    async def arrivals(self, limit: int) -> list[str]:
        """Claim recordings for which the parked links are to be looked through."""
        rows = await self._connection.execute(
            text("select recording_id from arrival order by recording_id limit :limit for update skip locked"),
            {"limit": limit},
        )
        return [row.recording_id for row in rows]

    async def forget_arrivals(self, recording_ids: Collection[str]) -> None:
        """The parked links were looked through for these."""
        await self._connection.execute(
            text("delete from arrival where recording_id = any(:ids)"), {"ids": list(recording_ids)}
        )

    async def for_arrivals(self, recording_ids: Collection[str]) -> list[Pair]:
        """The parked requests that mean one of these recordings; one that fits several goes to the first."""
        return await self._pairs(
            f"""
            select {_COLUMNS}, r.recording_id as goes_to, r.arrived from recording r
                join parked_link p on p.recording_id = r.recording_id
                where r.recording_id = any(:ids) and p.state = 'parked'
            union all
            select {_COLUMNS}, r.recording_id, r.arrived from recording r
                join parked_link p on p.name_key = r.name_key and {_IN_FOLDER}
                where r.recording_id = any(:ids) and p.state = 'parked'
            union all
            select {_COLUMNS}, r.recording_id, r.arrived from recording r
                join parked_link p on p.name_key = r.stem_key and not p.has_extension and {_IN_FOLDER}
                where r.recording_id = any(:ids) and p.state = 'parked'
            """,  # noqa: S608  # this module's own text
            recording_ids,
        )

    async def fresh(self, limit: int) -> list[str]:
        """Parked requests for which the catalogue has not been looked through since they were parked."""
        rows = await self._connection.execute(
            text("""
                select request_id from parked_link where state = 'parked' and fresh order by request_id limit :limit
            """),
            {"limit": limit},
        )
        return [row.request_id for row in rows]

    async def looked_through(self, request_ids: Collection[str]) -> None:
        """These are not fresh any more."""
        await self._one_at_a_time()
        await self._connection.execute(
            text("update parked_link set fresh = false where request_id = any(:ids)"), {"ids": list(request_ids)}
        )

    async def _one_at_a_time(self) -> None:
        """Keep out other writers of this table until the commit: two may park for one target, in any order of targets.

        Taken after the locks on recordings and links, everywhere.
        """
        await self._connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _WRITERS})

    async def for_fresh(self, request_ids: Collection[str]) -> list[Pair]:
        """Those of these parked requests that mean a recording which is there by now: the first that arrived."""
        return await self._pairs(
            f"""
            select {_COLUMNS}, r.recording_id as goes_to, r.arrived from parked_link p
                join recording r on p.recording_id = r.recording_id and r.filename is not null
                where p.request_id = any(:ids) and p.state = 'parked'
            union all
            select {_COLUMNS}, r.recording_id, r.arrived from parked_link p
                join recording r on p.name_key = r.name_key and {_IN_FOLDER}
                where p.request_id = any(:ids) and p.state = 'parked'
            union all
            select {_COLUMNS}, r.recording_id, r.arrived from parked_link p
                join recording r on p.name_key = r.stem_key and not p.has_extension and {_IN_FOLDER}
                where p.request_id = any(:ids) and p.state = 'parked'
            """,  # noqa: S608  # this module's own text
            request_ids,
        )

    async def _pairs(self, found: str, ids: Collection[str]) -> list[Pair]:
        rows = await self._connection.execute(
            text(f"select distinct on (request_id) f.* from ({found}) f order by request_id, arrived"),  # noqa: S608
            {"ids": list(ids)},
        )
        return [Pair(_request(row), row.goes_to) for row in rows]

    async def undecided(self) -> int:
        """Arrivals and fresh parked links that the loop has not looked at."""
        return int(
            await self._connection.scalar(
                text("""
                    select (select count(*) from arrival)
                         + (select count(*) from parked_link where state = 'parked' and fresh)
                """)
            )
            or 0
        )


def _request(row) -> LinkRequest:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """The request as it was made."""
    return LinkRequest(
        request_id=row.request_id,
        requested_at=row.requested_at,
        target=Target(recording_id=row.recording_id, filename=row.filename, folder=row.folder),
        ticket=TicketDetails.model_validate_json(row.ticket) if row.ticket else None,
        source=row.source,
        linked_by=row.linked_by,
        import_id=row.import_id,
    )
