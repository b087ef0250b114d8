"""The SQL of parked links: requests that wait for their recording, and what became of those that have waited.

A request is known by its request_id and its target: whoever uses one request_id for two recordings asks for two links,
and the same request delivered again is the same row. Of the requests for one target at most one waits.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketDetails, TicketLinked
from services.linker.decisions import LinkRequest
from services.linker.target import Target
from shared.arrays import with_arrays
from shared.sql import text

COLUMNS = """p.request_id, p.target, p.requested_at, p.recording_id, p.filename, p.folder, p.ticket, p.keeps, p.source,
             p.linked_by, p.import_id, p.on_existing"""
# A filename as it is compared, and without its extension; the index link_by_request is on the digest of exactly this.
NAME = "normalize({}, NFC)"
STEM = "regexp_replace({}, '(.)\\.[[:alnum:]]{{1,10}}$', '\\1')"
# Some recording of this folder has this label. One look at its place in the index: to read the labels of all recordings
# at once, or the table until there is such a recording, could seem to cost less.
_LABELLED = """({label}, {folder_id}) = (
    select r.folder_name, r.folder_id from recording r where (r.folder_name, r.folder_id) >= ({label}, {folder_id})
    order by r.folder_name, r.folder_id limit 1)"""
# The folder of the link `l` is the one that `p` names.
IN_FOLDER = f"""(p.folder is null or p.folder = l.folder_id
    or {_LABELLED.format(label="p.folder", folder_id="l.folder_id")})"""
# What waits and may be meant by u (name_key, folder). If u leaves its folder open, more than one is as good as many.
# Only if nothing waits for the folder as u names it (is_there), all that waits for that filename is looked through.
_OF_NAME = "from parked_link p where p.name_key = u.name_key and p.state = 'parked' and p.ticket is not null"
_MEANT = f"""
    (select p.* {_OF_NAME} and u.folder is null limit 2)
    union all select p.* {_OF_NAME} and p.folder = u.folder
    union all select p.* {_OF_NAME} and u.folder is not null and p.folder is null
    union all select p.* {_OF_NAME} and p.folder <> u.folder and u.folder is not null and not u.is_there
        and ({_LABELLED.format(label="u.folder", folder_id="p.folder")}
            or {_LABELLED.format(label="p.folder", folder_id="u.folder")})
"""
_WRITERS = 7_411_101  # any constant that no other advisory lock of this database has


@lru_cache(maxsize=20_000)  # one request is looked for, parked and settled under it
def target_key(target: Target) -> str:
    """What makes two requests be for the same recording as long as that is unknown; hashed, to fit into an index."""
    return hashlib.sha256(to_json((target.recording_id, target.folder, target.name_key))).hexdigest()


@lru_cache(maxsize=64)  # the rows of a file keep the same
def _written(keeps: frozenset[str]) -> str:
    return json.dumps(sorted(keeps))


class Parked:
    """One transaction's view of the table `parked_link`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def waiting(self, targets: Collection[Target]) -> dict[str, LinkRequest]:
        """By target key, the request that is parked for it; nobody else parks or settles until the commit."""
        await one_at_a_time(self._connection)
        rows = await self._connection.execute(
            with_arrays(f"""
                select {COLUMNS} from parked_link p
                where p.target = any(cast(:targets as text[])) and p.state = 'parked'
            """),  # noqa: S608  # this module's own text
            {"targets": [target_key(one) for one in targets]},
        )
        return {row.target: parked_request(row) for row in rows}

    async def park(self, requests: Sequence[LinkRequest]) -> None:
        """Park these, one per target at most; what was parked for their targets must have been settled.

        One that had its turn already does not wait again, unless it was asked for anew since.
        """
        ordered = sorted(requests, key=lambda one: target_key(one.target))
        await self._connection.execute(
            with_arrays("""
                with parked as (
                insert into parked_link (request_id, target, recording_id, folder, filename, name_key, has_extension,
                                         ticket, keeps, source, requested_at, linked_by, import_id, on_existing,
                                         parked_at, state)
                select u.*, now(), 'parked'
                from unnest(
                    cast(:requests as text[]), cast(:targets as text[]), cast(:ids as text[]), cast(:folders as text[]),
                    cast(:filenames as text[]), cast(:names as text[]), cast(:extended as boolean[]),
                    cast(:tickets as text[]), cast(:keeps as text[]), cast(:sources as text[]),
                    cast(:requested as timestamptz[]), cast(:linked_by as text[]), cast(:imports as text[]),
                    cast(:existing as text[])) as u
                on conflict (request_id, target) do update set
                    ticket = excluded.ticket, keeps = excluded.keeps, source = excluded.source,
                    requested_at = excluded.requested_at, linked_by = excluded.linked_by,
                    import_id = excluded.import_id, on_existing = excluded.on_existing,
                    parked_at = excluded.parked_at, state = 'parked', applied_to = null
                where parked_link.requested_at < excluded.requested_at
                returning target, request_id, requested_at
                )
                insert into fresh_parked (target, request_id, requested_at) select * from parked
                on conflict (target) do update set
                    request_id = excluded.request_id, requested_at = excluded.requested_at
            """),
            {
                "requests": [one.request_id for one in ordered],
                "targets": [target_key(one.target) for one in ordered],
                "ids": [one.target.recording_id for one in ordered],
                "folders": [one.target.folder for one in ordered],
                "filenames": [one.target.filename for one in ordered],
                "names": [one.target.name_key for one in ordered],
                "extended": [one.target.has_extension for one in ordered],
                "tickets": [one.ticket.as_json().decode() if one.ticket else None for one in ordered],
                "keeps": [_written(one.keeps) for one in ordered],
                "sources": [one.source for one in ordered],
                "requested": [one.requested_at for one in ordered],
                "linked_by": [one.linked_by for one in ordered],
                "imports": [one.import_id for one in ordered],
                "existing": [one.on_existing for one in ordered],
            },
        )

    async def meant_by(self, unlinks: Mapping[int, Target]) -> dict[int, Target]:
        """By their place, the targets that wait and that these mean under another spelling of their folder.

        What waits for the same folder, named by its id or its label, is meant; else the only one of that filename of
        which the folder is left open, by either.
        """
        await one_at_a_time(self._connection)  # what is being parked in this moment is meant as well
        rows = await self._connection.execute(
            with_arrays(f"""
                with u as materialized (
                    select *, (select p.target {_OF_NAME} and p.folder = u.folder limit 1) is not null as is_there
                    from unnest(cast(:places as int[]), cast(:names as text[]), cast(:folders as text[]))
                        as u (place, name_key, folder)
                )
                select u.place, p.folder, p.filename, p.folder is not distinct from u.folder as is_same,
                       p.folder is not null and u.folder is not null as is_named
                from u cross join lateral ({_MEANT}) p
                order by p.target
            """),  # noqa: S608  # this module's own text
            {
                "places": list(unlinks),
                "names": [one.name_key for one in unlinks.values()],
                "folders": [one.folder for one in unlinks.values()],
            },
        )
        fitting: dict[int, list[Row[Any]]] = defaultdict(list)
        for row in rows:
            fitting[row.place].append(row)
        meant: dict[int, Target] = {}
        for place, waiting in fitting.items():
            named = [row for row in waiting if row.is_named]
            if any(row.is_same for row in waiting) or not (named or len(waiting) == 1):
                continue
            meant[place] = Target(filename=(named or waiting)[0].filename, folder=(named or waiting)[0].folder)
        return meant

    async def settle(
        self, requests: Sequence[LinkRequest], state: str, *, applied_to: Sequence[str] | None = None
    ) -> None:
        """These wait no more, if they still do; `applied_to` names their recordings, in the same order."""
        if not requests:
            return
        await one_at_a_time(self._connection)
        await self._connection.execute(
            with_arrays("""
                with settled as (
                update parked_link p set state = :state, applied_to = u.applied_to
                from unnest(cast(:ids as text[]), cast(:targets as text[]), cast(:requested as timestamptz[]),
                            cast(:applied_to as text[])) as u (request_id, target, requested_at, applied_to)
                where p.request_id = u.request_id and p.target = u.target and p.requested_at = u.requested_at
                    and p.state = 'parked'
                returning p.target
                )
                delete from fresh_parked using settled where fresh_parked.target = settled.target
            """),
            {
                "ids": [one.request_id for one in requests],
                "targets": [target_key(one.target) for one in requests],
                "requested": [one.requested_at for one in requests],
                "state": state,
                "applied_to": list(applied_to) if applied_to else [None] * len(requests),
            },
        )

    async def settle_announced(self, facts: Sequence[TicketLinked]) -> None:
        """Requests that have made one of these links wait no more; one of the same id for another recording does."""
        request_ids = list({fact.request_id for fact in facts})
        waiting = await self._connection.scalar(
            text("select exists (select from parked_link where request_id = any(:ids) and state = 'parked')"),
            {"ids": request_ids},
        )
        if not waiting:
            return
        await one_at_a_time(self._connection)
        await self._connection.execute(
            with_arrays(f"""
                with l as (
                    select *, {NAME.format("filename")} as name_key,
                        {STEM.format(NAME.format("filename"))} as stem_key
                    from unnest(cast(:requests as text[]), cast(:ids as text[]), cast(:folders as text[]),
                                cast(:filenames as text[])) as u (request_id, recording_id, folder_id, filename)
                ), p as (
                    select * from parked_link where request_id = any(cast(:requests as text[])) and state = 'parked'
                ), done as (
                    select p.request_id, p.target, l.recording_id from p join l using (request_id, recording_id)
                    union
                    select p.request_id, p.target, l.recording_id from p join l using (request_id, name_key)
                    where {IN_FOLDER}
                    union
                    select p.request_id, p.target, l.recording_id
                    from p join l on p.request_id = l.request_id and p.name_key = l.stem_key
                    where not p.has_extension and {IN_FOLDER}
                ), settled as (
                    update parked_link set state = 'applied', applied_to = done.recording_id from done
                    where parked_link.request_id = done.request_id and parked_link.target = done.target
                    returning parked_link.target
                )
                delete from fresh_parked using settled where fresh_parked.target = settled.target
            """),  # noqa: S608  # this module's own text
            {
                "requests": [fact.request_id for fact in facts],
                "ids": [fact.recording_id for fact in facts],
                "folders": [fact.folder_id for fact in facts],
                "filenames": [fact.filename for fact in facts],
            },
        )


async def one_at_a_time(connection: AsyncConnection) -> None:
    """Keep out other writers of the table until the commit: two may park for one target, in any order of targets.

    Taken after the locks on recordings and links, everywhere.
    """
    await connection.execute(text("select pg_advisory_xact_lock(:lock)"), {"lock": _WRITERS})


def parked_request(row) -> LinkRequest:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """The request as it waits, of a row with `COLUMNS`."""
    return LinkRequest(
        request_id=row.request_id,
        requested_at=row.requested_at,
        target=Target(recording_id=row.recording_id, filename=row.filename, folder=row.folder),
        ticket=TicketDetails.model_validate_json(row.ticket) if row.ticket else None,
        source=row.source,
        linked_by=row.linked_by,
        import_id=row.import_id,
        keeps=frozenset(json.loads(row.keeps)),
        on_existing=row.on_existing,
    )
