"""Announces CloudTicketUpdated: the pushes that the cloud has acknowledged.

Folder by folder, what lies between the announced cursor and the cursor; once Kafka has the facts, one cursor moves. A
fact that is lost with a broker, or comes late, costs one repeated push after a rebuild and nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from json.encoder import encode_basestring as in_quotes

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.envelope import rfc3339
from schemas.events import CloudTicketUpdated
from schemas.topics import CLOUD_TICKET_UPDATED
from services.cloud_updater.predicates import TO_ANNOUNCE
from shared.announce_once import Lot
from shared.facts import as_record
from shared.producer import Outgoing
from shared.sql import text

FOLDERS_AT_ONCE = 500
FACTS_AT_ONCE = 5_000


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
    rows = (
        await connection.execute(
            text(f"""
                select l.clouds_uuid, r.recording_id, r.transfer_version, r.link_version, r.seq
                from unnest(cast(:uuids as text[]), cast(:generations as int[]), cast(:cursors as bigint[]))
                        as u (clouds_uuid, generation, cursor)
                    join ledger l on l.clouds_uuid = u.clouds_uuid and l.generation = u.generation
                    join recording r on {TO_ANNOUNCE}
                order by l.clouds_uuid, r.seq limit :limit
            """),  # noqa: S608  # this module's own text
            {
                "uuids": [one.clouds_uuid for one in folders],
                "generations": [one.generation for one in folders],
                "cursors": [one.up_to_seq for one in folders],
                "limit": limit,
            },
        )
    ).all()
    passed = [Passed(one.clouds_uuid, one.generation, one.up_to_seq) for one in folders]
    pushed_at = {one.clouds_uuid: one.pushed_at for one in folders}
    if len(rows) == limit:
        last = next(place for place, one in enumerate(passed) if one.clouds_uuid == rows[-1].clouds_uuid)
        passed = [*passed[:last], replace(passed[last], up_to_seq=rows[-1].seq)]
    records = [
        record_of(
            recording_id=recording_id,
            clouds_uuid=clouds_uuid,
            transfer_version=transfer_version,
            link_version=link_version,
            pushed_at=pushed_at[clouds_uuid],
        )
        for clouds_uuid, recording_id, transfer_version, link_version, _ in rows
    ]
    return Lot(records, len(rows) == limit, partial(_mark, passed=passed))


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


def record_of(
    *, recording_id: str, clouds_uuid: str, transfer_version: int, link_version: int, pushed_at: datetime
) -> Outgoing:
    """The record that announces an acknowledgement. All of it was valid when it was stored, so no model checks it."""
    value = (
        f'{{"recording_id":{in_quotes(recording_id)},"clouds_uuid":{in_quotes(clouds_uuid)},'
        f'"transfer_version":{transfer_version},"link_version":{link_version},'
        f'"updated_at":"{rfc3339(pushed_at).decode()}"}}'
    )
    return as_record(
        CLOUD_TICKET_UPDATED,
        (CloudTicketUpdated, value.encode()),
        key=recording_id,
        version=f"{transfer_version}.{link_version}",
        source="cloud_updater",
        time=pushed_at,
    )


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
