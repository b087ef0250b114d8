"""Announces TicketLinked: the newest link of each recording, until the topic says so.

A row is to be announced while the last record of the topic about its recording says another version. One that was
published late, and so stands behind a newer one, is corrected by the same rule.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import TICKET_LINKED
from shared.arrays import with_arrays
from shared.facts import WRITTEN, facts_of
from shared.own_records import Skimmed
from shared.producer import Outgoing
from shared.sql import text

_FACTS = facts_of(TICKET_LINKED, "linker")


async def unheard(connection: AsyncConnection, limit: int) -> Mapping[str, object]:
    """Recording → link_version, folder by folder: first the links that no import made, then those of imports of which
    all rows are decided. So an import waits as long as `limit` others do.

    From import to import by the index: one that runs may have a million links, which are not looked at. The first
    column is named in the order, as PostgreSQL does not see that `is null` leaves one value of it.
    """
    found = await connection.execute(
        text("""
            with recursive waiting (import_id) as (
                (select import_id from unheard_link where import_id is not null order by import_id limit 1)
                union all
                select (select import_id from unheard_link u where u.import_id > w.import_id order by 1 limit 1)
                from waiting w where import_id is not null
            ), decided as (
                select import_id from waiting w where import_id is not null
                    and (select finished_at is null from import i where i.import_id = w.import_id) is not true
            )
            select array_agg(recording_id), array_agg(link_version) from (
                (select recording_id, link_version from unheard_link where import_id is null
                order by import_id, folder_id limit :limit)
                union all
                select u.* from decided cross join lateral (
                    select recording_id, link_version from unheard_link where import_id = decided.import_id
                    order by import_id, folder_id limit :limit) u
                limit :limit) due
        """),
        {"limit": limit},
    )
    ids, versions = found.one()
    return dict(zip(ids, versions, strict=True)) if ids else {}


async def facts(connection: AsyncConnection, recording_ids: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
    """Recording → (link_version, record) as the links are now.

    They were valid when they were stored, so PostgreSQL writes each as the JSON of TicketLinked, its fields in order.
    """
    found = await connection.execute(
        with_arrays(f"""
            select array_agg(recording_id), array_agg(link_version), array_agg(request_id),
                   array_agg(convert_to(occurred, 'UTF8')), array_agg(convert_to(concat(
                        '{{"recording_id":', to_json(recording_id), ',"folder_id":', to_json(folder_id),
                        ',"filename":', to_json(filename), ',"link_version":', link_version,
                        ',"ticket_info":', coalesce(ticket, 'null'), ',"source":"', source,
                        '","request_id":', to_json(request_id),
                        ',"requested_at":"', {WRITTEN.format(column="requested_at")}, '"',
                        ',"linked_by":' || to_json(linked_by), ',"import_id":' || to_json(import_id),
                        ',"occurred_at":"', occurred, '"}}'), 'UTF8'))
            from link cross join lateral (select {WRITTEN.format(column="occurred_at")} as occurred) of_link
            where recording_id = any(cast(:ids as text[]))
        """),  # noqa: S608  # this module's own text
        {"ids": recording_ids},
    )
    links = {link[0]: link for link in zip(*(column or () for column in found.one()), strict=True)}
    orders = {link[1]: (link[1],) for link in links.values()}
    made = {}
    for recording_id in recording_ids:  # in their order: to sort them there takes as long as to write them
        if link := links.get(recording_id):
            _, version, request_id, time, value = link
            says = Skimmed(recording_id, orders[version], request_id)
            record = _FACTS.record(value, key=recording_id, version=str(version), time=time, says=says)
            made[recording_id] = version, record
    return made


async def forget_heard(connection: AsyncConnection) -> None:
    """Nothing was heard on the topic as it is now: every link is to be announced."""
    await connection.execute(
        text("""
            insert into unheard_link (recording_id, folder_id, link_version)
            select recording_id, folder_id, link_version from link where link_version > 0 order by recording_id
            on conflict do nothing
        """)
    )
