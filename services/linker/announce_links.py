"""Announces TicketLinked: the newest link of each recording, until the topic says so.

A row is to be announced while the last record of the topic about its recording says another version. One that was
published late, and so stands behind a newer one, is corrected by the same rule.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from json.encoder import encode_basestring as _quoted
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from schemas.topics import TICKET_LINKED
from shared.arrays import with_arrays
from shared.facts import as_record
from shared.own_records import Skimmed
from shared.producer import Outgoing
from shared.sql import text


async def unheard(connection: AsyncConnection, limit: int) -> Mapping[str, object]:
    """Recording → link_version, folder by folder; those of an import not before all of its rows are decided."""
    rows = await connection.execute(
        text("""
            select recording_id, link_version from unheard_link
            where import_id is null
                or import_id <> all (array(select import_id from import where finished_at is null))
            order by folder_id, recording_id limit :limit
        """),
        {"limit": limit},
    )
    return {row[0]: row[1] for row in rows.all()}


async def facts(connection: AsyncConnection, recording_ids: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
    """Recording → (link_version, record) as the links are now.

    They were valid when they were stored, so each goes from its row to JSON without being an event on the way.
    """
    rows = await connection.execute(
        with_arrays("""
            select recording_id, folder_id, filename, link_version, ticket, source, request_id, requested_at, linked_by,
                   import_id, occurred_at
            from link where recording_id = any(cast(:ids as text[])) order by folder_id, recording_id
        """),
        {"ids": recording_ids},
    )
    return {row[0]: (row[3], record_of(row)) for row in rows.all()}


async def forget_heard(connection: AsyncConnection) -> None:
    """Nothing was heard on the topic as it is now: every link is to be announced."""
    await connection.execute(
        text("""
            insert into unheard_link (recording_id, folder_id, link_version)
            select recording_id, folder_id, link_version from link where link_version > 0 order by recording_id
            on conflict do nothing
        """)
    )


def record_of(row: Row[Any]) -> Outgoing:
    """The record that announces a link, of its row with the fields of TicketLinked in their order."""
    values: tuple[Any, ...] = tuple(row)
    recording_id, folder_id, filename, link_version, ticket, source, request_id = values[:7]
    # Written as text, because the ticket is JSON as it stands in its row and the end is the same for a whole import.
    value = (
        f'{{"recording_id":{_quoted(recording_id)},"folder_id":{_quoted(folder_id)},"filename":{_quoted(filename)},'
        f'"link_version":{link_version},"ticket_info":{ticket or "null"},"source":"{source}",'
        f'"request_id":{_quoted(request_id)},{_end(*values[7:])}'
    )
    return as_record(
        TICKET_LINKED,
        (TicketLinked, value.encode()),
        key=recording_id,
        version=str(link_version),
        source="linker",
        time=values[-1],
        says=Skimmed(recording_id, (link_version,), request_id),
    )


@lru_cache(maxsize=64)
def _end(requested_at: datetime, linked_by: str | None, import_id: str | None, occurred_at: datetime) -> str:
    """The last fields of the value; one without a value is left out."""
    fields = {"requested_at": requested_at, "linked_by": linked_by, "import_id": import_id, "occurred_at": occurred_at}
    return to_json({name: value for name, value in fields.items() if value is not None})[1:].decode()
