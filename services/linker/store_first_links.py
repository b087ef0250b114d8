"""The SQL of first links: those of a whole part of an import, made in one statement from what the part holds.

Their recordings must have been locked before, in an earlier statement, so that this one sees every link that others
have made and nobody makes another meanwhile. If one is made all the same, by a fold that learns it from the topic, the
key of `link` refuses the part, which is then decided anew.
"""

from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.first_links import linked_at
from services.linker.store_imports import Running
from shared.sql import text


class FirstLinksOf:
    """One transaction's view of the tables `import_part` and `link`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def make(self, part: Running, *, now: datetime) -> tuple[int, set[int]]:
        """Make the first links of a part: how many that were, and the lines of which something else is to be made.

        Rows that a later one replaces are among neither.
        """
        running = part.accepted
        made = await self._connection.execute(
            text("""
                with u as (
                    select u.* from import_part p cross join lateral
                        unnest(p.meant_lines, p.meant_ids, p.first_tickets, p.first_ticket_ids, p.first_shown)
                            as u (line, recording_id, ticket, ticket_id, shown)
                    where p.import_id = :import_id and p.last_line = :last_line
                        and (p.replaced is null or not p.replaced ? cast(u.line as text))
                ), first as (
                    select u.recording_id, u.line, u.ticket, u.ticket_id, r.folder_id, r.filename,
                        concat(u.shown, to_char(called_at at time zone 'UTC', '_YYYYMMDD')) as shown
                    from u join recording r using (recording_id)
                        cross join lateral (select coalesce(r.recorded_at, r.processed_at) as called_at) call
                    where u.ticket is not null
                        and not exists (select from link l where l.recording_id = u.recording_id)
                    order by u.recording_id
                ), made as (
                    insert into link (recording_id, link_version, ticket, ticket_id, folder_id, filename, source,
                                      request_id, requested_at, linked_by, import_id, occurred_at, last_request_id,
                                      last_requested_at)
                    select recording_id, 1, concat(ticket, ',"display_name":"', shown, '"', cast(:linked_at as text)),
                        ticket_id, folder_id, filename, 'import', request_id, :requested_at, :linked_by, :import_id,
                        :now, request_id, :requested_at
                    from first cross join lateral
                        (select :import_id || ':' || lpad(cast(line as text), 9, '0') as request_id) named
                ), unheard as (
                    insert into unheard_link (recording_id, folder_id, link_version, import_id)
                    select recording_id, folder_id, 1, :import_id from first
                )
                select (select count(*) from first) as made,
                    array(select line from u except select line from first) as others
            """),
            {
                "import_id": running.import_id,
                "last_line": part.last_line,
                "linked_at": linked_at(now),
                "requested_at": running.accepted_at,
                "linked_by": running.linked_by,
                "now": now,
            },
        )
        row = made.one()
        return row.made, set(row.others)
