"""The SQL that brings parked links and recordings together.

Whatever the order in which a recording arrives and a request for it is parked, one of the two finds the other: an
arrival is noted in the transaction that stores the recording, a parked link is noted as fresh in the one that parks it,
and the loop looks at either only after it is committed.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import LinkRequest
from services.linker.store_candidates import MEANT_FOLDERS, WITH_MEANT_FOLDERS, meant_by_name
from services.linker.store_parked import COLUMNS, one_at_a_time, parked_request
from shared.arrays import with_arrays
from shared.sql import text

# Recordings r as they may be named; an id is meant before a name. Whether there is such an id is looked up for each, in
# the order of its index (see store_candidates.py).
_NAMED_RECORDINGS = """
    r as materialized (
        select recording_id, folder_id, name_key, stem_key, arrived, case when (
            select other.recording_id from recording other where other.folder_id = named.folder_name
            order by other.recording_id limit 1) is null then folder_name end as folder_name
        from recording named where recording_id = any(cast(:ids as text[]))
    )
"""
# Each way to be meant by itself: with an `or`, all that waits for a name would be read, of any folder, and with a list
# of folders PostgreSQL may read all that waits, if hardly anything did when statistics were gathered.
_PARKED = f"select {COLUMNS} from parked_link p where"  # noqa: S608  # this module's own text
_BY_STEM = "p.name_key = r.stem_key and not p.has_extension"
_MEANING_R = f"""
    {_PARKED} p.recording_id = r.recording_id and p.state = 'parked'
    union all {_PARKED} p.name_key = r.name_key and p.folder is null and p.state = 'parked'
    union all {_PARKED} p.name_key = r.name_key and p.folder = r.folder_id and p.state = 'parked'
    union all {_PARKED} p.name_key = r.name_key and p.folder = r.folder_name and p.state = 'parked'
    union all {_PARKED} {_BY_STEM} and p.folder is null and p.state = 'parked'
    union all {_PARKED} {_BY_STEM} and p.folder = r.folder_id and p.state = 'parked'
    union all {_PARKED} {_BY_STEM} and p.folder = r.folder_name and p.state = 'parked'
"""
# Of a folder whose recordings disagree about its label only those are meant that say it as the request does.
_FIRST_IN_ITS_FOLDER = "and (u.folder is null or u.folder in (r.folder_id, r.folder_name)) order by r.arrived limit 1"


@dataclass(frozen=True)
class Pair:
    """A parked request and the recording that it goes to."""

    request: LinkRequest
    recording_id: str


@dataclass(frozen=True)
class Fresh:
    """A parked request as it was when it was taken to be looked at; another may wait for its target since."""

    request_id: str
    target: str
    requested_at: datetime


class Matching:
    """One transaction's view of the tables `parked_link`, `fresh_parked`, `arrival` and `recording`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

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
            with_arrays("delete from arrival where recording_id = any(cast(:ids as text[]))"),
            {"ids": list(recording_ids)},
        )

    async def for_arrivals(self, recording_ids: Collection[str]) -> list[Pair]:
        """The parked requests that mean one of these recordings; one that fits several goes to the first."""
        return await self._pairs(
            f"""
            with {_NAMED_RECORDINGS}
            select distinct on (p.target) p.*, r.recording_id as goes_to from r cross join lateral ({_MEANING_R}) p
            order by p.target, r.arrived
            """,  # noqa: S608  # this module's own text
            recording_ids,
        )

    async def fresh(self, limit: int) -> list[Fresh]:
        """Parked requests for which the catalogue has not been looked through since they were parked."""
        rows = await self._connection.execute(
            text("""
                select request_id, target, requested_at from fresh_parked order by target limit :limit
            """),
            {"limit": limit},
        )
        return [Fresh(*row) for row in rows]

    async def for_fresh(self, fresh: Sequence[Fresh]) -> list[Pair]:
        """What waits for these targets and means a recording that is there by now: the first that arrived."""
        return await self._pairs(
            f"""
            with u as (
                select {COLUMNS}, p.name_key, p.has_extension from parked_link p
                where p.target = any(cast(:ids as text[])) and p.state = 'parked'
            ), {MEANT_FOLDERS}
            select distinct on (u.target) u.*, r.recording_id as goes_to
            from {WITH_MEANT_FOLDERS} cross join lateral (
                select r.recording_id, r.arrived from recording r
                where r.recording_id = u.recording_id and r.filename is not null
                union all {meant_by_name("r.recording_id, r.arrived", each=_FIRST_IN_ITS_FOLDER)}) r
            order by u.target, r.arrived
            """,  # noqa: S608  # this module's own text
            [one.target for one in fresh],
        )

    async def looked_through(self, fresh: Sequence[Fresh]) -> None:
        """These are not fresh any more; what has taken their place meanwhile is."""
        await one_at_a_time(self._connection)
        await self._connection.execute(
            with_arrays("""
                delete from fresh_parked p
                using unnest(cast(:ids as text[]), cast(:targets as text[]), cast(:requested as timestamptz[]))
                    as u (request_id, target, requested_at)
                where p.request_id = u.request_id and p.target = u.target and p.requested_at = u.requested_at
            """),
            {
                "ids": [one.request_id for one in fresh],
                "targets": [one.target for one in fresh],
                "requested": [one.requested_at for one in fresh],
            },
        )

    async def _pairs(self, found: str, ids: Collection[str]) -> list[Pair]:
        rows = await self._connection.execute(with_arrays(found), {"ids": list(ids)})
        return [Pair(parked_request(row), row.goes_to) for row in rows]

    async def undecided(self) -> int:
        """Arrivals and fresh parked links that the loop has not looked at."""
        return int(
            await self._connection.scalar(
                text("""
                    select (select count(*) from arrival) + (select count(*) from fresh_parked)
                """)
            )
            or 0
        )
