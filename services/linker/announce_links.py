"""Announces TicketLinked: the newest link of each recording, until the topic says so.

A row is to be announced while the last record of the topic about its recording says another version. One that was
published late, and so stands behind a newer one, is corrected by the same rule.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic_core import to_json
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from schemas.topics import TICKET_LINKED
from shared.facts import as_record
from shared.producer import Outgoing

_FIELDS = tuple(TicketLinked.model_fields)
_TICKET_PLACE = _FIELDS.index("ticket_info")


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
    return {recording_id: link_version for recording_id, link_version in rows}  # noqa: C416  # a row is no pair to mypy


async def facts(connection: AsyncConnection, recording_ids: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
    """Recording → (link_version, record) as the links are now.

    They were valid when they were stored, so each goes from its row to JSON without being an event on the way.
    """
    rows = await connection.execute(
        text("""
            select recording_id, folder_id, filename, link_version, ticket, source, request_id, requested_at, linked_by,
                   import_id, occurred_at
            from link where recording_id = any(:ids) order by folder_id, recording_id
        """),
        {"ids": list(recording_ids)},
    )
    return {row.recording_id: (row.link_version, record_of(row)) for row in rows}


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
    # A field without a value is left out; a link without a ticket says so. The ticket is JSON as it stands in its row.
    given = dict(zip(_FIELDS, row, strict=True))
    ticket = given["ticket_info"] or "null"
    head = to_json({name: given[name] for name in _FIELDS[:_TICKET_PLACE]})
    tail = to_json({name: value for name in _FIELDS[_TICKET_PLACE + 1 :] if (value := given[name]) is not None})
    return as_record(
        TICKET_LINKED,
        (TicketLinked, b'%b,"ticket_info":%b,%b' % (head[:-1], ticket.encode(), tail[1:])),
        key=row.recording_id,
        version=str(row.link_version),
        source="linker",
        time=row.occurred_at,
    )
