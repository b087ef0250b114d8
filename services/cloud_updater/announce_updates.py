"""Announces CloudTicketUpdated: the pushes that the cloud has acknowledged.

Folder by folder, what lies between the announced cursor and the cursor; once Kafka has the facts, one cursor moves. A
fact that is lost with a broker, or comes late, costs one repeated push after a rebuild and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from json.encoder import encode_basestring as in_quotes

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.envelope import rfc3339
from schemas.topics import CLOUD_TICKET_UPDATED
from services.cloud_updater.predicates import TO_ANNOUNCE
from shared.announce_once import Lot
from shared.arrays import with_arrays
from shared.facts import facts_of
from shared.producer import Outgoing
from shared.sql import text

FOLDERS_AT_ONCE = 500
FACTS_AT_ONCE = 5_000
_FACTS = facts_of(CLOUD_TICKET_UPDATED, "cloud_updater")


@dataclass(frozen=True)
class Passed:
    """A folder whose facts up to this seq are in the lot; nothing is said of it if its cursors were set back since."""

    clouds_uuid: str
    generation: int
    up_to_seq: int


async def next_lot(connection: AsyncConnection, *, limit: int = FACTS_AT_ONCE) -> Lot | None:
    """At most `limit` facts. None: everything is announced."""
    folders = (
        await connection.execute(
            text("""
                select clouds_uuid, generation, cursor as up_to_seq, pushed_at from ledger
                where announced_cursor < cursor order by clouds_uuid limit :limit
            """),
            {"limit": FOLDERS_AT_ONCE},
        )
    ).all()
    if not folders:
        return None
    # Up to the cursor as it was just read: behind one that moved since, there may be recordings that nobody looks at.
    # And nothing of a folder that was set back since: a refusal is taken back then, and would look like a success.
    # All of it was valid when it was stored, so PostgreSQL writes it as the JSON of CloudTicketUpdated.
    result = await connection.execute(
        with_arrays(f"""
            select clouds_uuid, max(seq) as last_seq, array_agg(recording_id) as ids, array_agg(version) as versions,
                   array_agg(convert_to(value, 'UTF8')) as bodies
            from (
                select l.clouds_uuid, r.recording_id, r.transfer_version || '.' || r.link_version as version, r.seq,
                    '{{"recording_id":' || to_json(r.recording_id) || u.before || r.transfer_version
                        || ',"link_version":' || r.link_version || u.after as value
                from unnest(cast(:uuids as text[]), cast(:generations as int[]), cast(:cursors as bigint[]),
                            cast(:before as text[]), cast(:after as text[]))
                        as u (clouds_uuid, generation, cursor, before, after)
                    join ledger l on l.clouds_uuid = u.clouds_uuid and l.generation = u.generation
                    cross join lateral (
                        select * from recording r where {TO_ANNOUNCE} order by r.seq limit :limit
                    ) r
                order by l.clouds_uuid, r.seq limit :limit) due
            group by clouds_uuid order by clouds_uuid
        """),  # noqa: S608  # this module's own text
        {
            "uuids": [one.clouds_uuid for one in folders],
            "generations": [one.generation for one in folders],
            "cursors": [one.up_to_seq for one in folders],
            "before": [f',"clouds_uuid":{in_quotes(one.clouds_uuid)},"transfer_version":' for one in folders],
            # Nothing was ever sent to a folder without a time, so no recording of it is found.
            "after": [
                f',"updated_at":"{rfc3339(one.pushed_at).decode()}"}}' if one.pushed_at else None for one in folders
            ],
            "limit": limit,
        },
    )
    found = result.all()
    number = sum(len(one.ids) for one in found)
    passed = [Passed(one.clouds_uuid, one.generation, one.up_to_seq) for one in folders]
    if number == limit:
        last = next(place for place, one in enumerate(passed) if one.clouds_uuid == found[-1].clouds_uuid)
        passed = [*passed[:last], replace(passed[last], up_to_seq=found[-1].last_seq)]
    pushed_at = {one.clouds_uuid: one.pushed_at for one in folders}
    records: list[Outgoing] = []
    for one in found:
        time = rfc3339(pushed_at[one.clouds_uuid])
        facts = zip(one.ids, one.versions, one.bodies, strict=True)
        records += [_FACTS.record(body, key=key, version=version, time=time) for key, version, body in facts]
    return Lot(records, number == limit, partial(_mark, passed=passed))


async def forget_announced(connection: AsyncConnection) -> None:
    """Nothing is on the topic as it is now: what the cloud has acknowledged is to be announced.

    What a row knows of a folder that was pushed is left to the cursors to say again: they are what is announced.
    """
    await connection.execute(
        text("""
            update recording r set known_transfer_version = 0, known_link_version = 0
            from ledger l
            where r.clouds_uuid = l.clouds_uuid and r.seq between 1 and l.cursor and r.rejected is null
                and r.link_version > 0 and l.pushed_at is not null
                and (r.known_transfer_version, r.known_link_version) = (r.transfer_version, r.link_version)
        """)
    )
    await connection.execute(text("update ledger set announced_cursor = 0 where announced_cursor > 0"))


async def _mark(connection: AsyncConnection, *, passed: Sequence[Passed]) -> None:
    await connection.execute(
        text("""
            with locked as materialized (
                select l.clouds_uuid, u.up_to_seq
                from unnest(cast(:uuids as text[]), cast(:generations as int[]), cast(:seqs as bigint[]))
                    as u (clouds_uuid, generation, up_to_seq) join ledger l using (clouds_uuid)
                where l.generation = u.generation order by l.clouds_uuid for update of l
            )
            update ledger set announced_cursor = greatest(announced_cursor, up_to_seq)
            from locked where ledger.clouds_uuid = locked.clouds_uuid
        """),
        {
            "uuids": [one.clouds_uuid for one in passed],
            "generations": [one.generation for one in passed],
            "seqs": [one.up_to_seq for one in passed],
        },
    )
