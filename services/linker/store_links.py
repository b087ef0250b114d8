"""The SQL of links: the newest of each recording, and the versions that were given before it.

Rows are locked in order of recording_id before any of them is changed: folds, imports and the API meet on them. Those
of `unheard_link` are written after those of `link`, in the same order.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketInfo
from services.linker.decisions import CurrentLink, LinkRequest
from services.linker.link_rows import LinkRow, columns_of
from shared.arrays import with_arrays
from shared.sql import text

# What link and link_history have in common.
_VERSION = """recording_id, link_version, ticket, source, request_id, requested_at, linked_by, import_id, occurred_at"""
_VERSION_OF = (
    "recording_id, {0}.link_version, {0}.ticket, {0}.source, {0}.request_id, {0}.requested_at, "
    "{0}.linked_by, {0}.import_id, {0}.occurred_at"
)


class Links:
    """One transaction's view of the tables `link` and `link_history`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def current(self, recording_ids: Collection[str]) -> dict[str, CurrentLink]:
        """The newest links of these recordings, locked."""
        rows = await self._connection.execute(
            with_arrays("""
                select recording_id, link_version, ticket, request_id, last_requested_at, last_request_id from link
                where recording_id = any(cast(:ids as text[]))
                order by recording_id for update
            """),
            {"ids": list(recording_ids)},
        )
        return {
            row.recording_id: CurrentLink(
                row.link_version,
                TicketInfo.model_validate_json(row.ticket) if row.ticket else None,
                row.request_id,
                (row.last_requested_at, row.last_request_id),
            )
            for row in rows
        }

    async def made_at(self) -> datetime:
        """When this database was made."""
        made_at: datetime = (await self._connection.execute(text("select created_at from origin"))).scalar_one()
        return made_at

    async def were_before(self, moment: datetime) -> bool:
        """Whether there are links from before this moment."""
        found = await self._connection.scalar(
            text("select exists (select from link where link_version > 0 and occurred_at < :moment)"),
            {"moment": moment},
        )
        return bool(found)

    async def versions(self, recording_ids: Collection[str]) -> dict[str, tuple[int, str, bool]]:
        """(link_version, request_id, whether it was heard) of those that have a link; nothing is locked."""
        rows = await self._connection.execute(
            with_arrays("""
                select recording_id, link.link_version, request_id, u.recording_id is null as heard
                from link left join unheard_link u using (recording_id) where recording_id = any(cast(:ids as text[]))
            """),
            {"ids": list(recording_ids)},
        )
        return {
            recording_id: (link_version, request_id, heard) for recording_id, link_version, request_id, heard in rows
        }

    async def hear_newest(self, links: Collection[tuple[str, int, str]]) -> bool:
        """Whether each (recording_id, link_version, request_id) is the newest link as it stands; then they were heard.

        No link is locked, as in `strike_off`.
        """
        ids, versions, requests = zip(*links, strict=True)
        # Found by their ids alone: to join a whole table with what is given would seem to cost less by all of it.
        heard = await self._connection.scalar(
            with_arrays("""
                with told as materialized (
                    select * from unnest(cast(:ids as text[]), cast(:versions as int[]), cast(:requests as text[]))
                        as u (recording_id, link_version, request_id)
                ), found as materialized (
                    select recording_id, link_version, request_id from link
                    where recording_id = any(cast(:ids as text[]))
                ), newest as materialized (
                    select count(*) = :count as are_all
                    from found join told using (recording_id, link_version, request_id)
                ), waiting as materialized (
                    select ctid as place, recording_id, link_version as version from unheard_link
                    where recording_id = any(cast(:ids as text[])) and (select are_all from newest)
                    order by recording_id for update
                ), heard as (
                    delete from unheard_link where ctid = any(array(
                        select place from waiting join told using (recording_id) where version <= link_version))
                )
                select are_all from newest
            """),
            {"ids": ids, "versions": versions, "requests": requests, "count": len(links)},
        )
        return bool(heard)

    async def store(self, links: Sequence[LinkRow]) -> None:
        """Store new versions; the last that is given of a recording is its newest, and the older ones its history.

        They are to be announced: those of an import once that is decided, all others at once. Version 0 is neither.
        """
        newest = {link.recording_id: link for link in links}
        if passed := [link for link in links if link is not newest[link.recording_id] and link.link_version > 0]:
            await self._connection.execute(
                with_arrays(f"""
                    insert into link_history ({_VERSION})
                    select * from unnest(
                        cast(:ids as text[]), cast(:versions as int[]), cast(:tickets as text[]),
                        cast(:sources as text[]), cast(:requests as text[]), cast(:requested as timestamptz[]),
                        cast(:linked_by as text[]), cast(:imports as text[]), cast(:occurred as timestamptz[]))
                    on conflict do nothing
                """),  # noqa: S608  # this module's own text
                columns_of(sorted(passed, key=lambda link: (link.recording_id, link.link_version))),
            )
        stored = [newest[one] for one in sorted(newest)]
        await self._connection.execute(
            with_arrays(f"""
                with u as (
                    select * from unnest(
                        cast(:ids as text[]), cast(:versions as int[]), cast(:tickets as text[]),
                        cast(:sources as text[]), cast(:requests as text[]), cast(:requested as timestamptz[]),
                        cast(:linked_by as text[]), cast(:imports as text[]), cast(:occurred as timestamptz[]),
                        cast(:folders as text[]), cast(:filenames as text[]), cast(:ticket_ids as text[]))
                    as u ({_VERSION}, folder_id, filename, ticket_id)
                ), before as (
                    insert into link_history ({_VERSION})
                    select {_VERSION_OF.format("link")} from link join u using (recording_id)
                    where link.link_version > 0 and link.link_version < u.link_version order by recording_id
                    on conflict do nothing
                ), stored as (
                    insert into link ({_VERSION}, folder_id, filename, ticket_id, last_requested_at, last_request_id)
                    select u.*, u.requested_at, u.request_id from u order by recording_id
                    on conflict (recording_id) do update set
                        link_version = excluded.link_version, ticket = excluded.ticket, source = excluded.source,
                        request_id = excluded.request_id, requested_at = excluded.requested_at,
                        linked_by = excluded.linked_by, import_id = excluded.import_id,
                        occurred_at = excluded.occurred_at, folder_id = excluded.folder_id,
                        filename = excluded.filename, ticket_id = excluded.ticket_id,
                        last_requested_at = excluded.last_requested_at, last_request_id = excluded.last_request_id
                    where link.link_version < excluded.link_version
                    returning recording_id, folder_id, link_version, import_id
                )
                insert into unheard_link (recording_id, folder_id, link_version, import_id)
                select * from stored where link_version > 0 order by recording_id
                on conflict (recording_id) do update set folder_id = excluded.folder_id,
                    link_version = excluded.link_version, import_id = excluded.import_id
            """),  # noqa: S608  # this module's own text
            columns_of(stored)
            | {
                "folders": [one.folder_id for one in stored],
                "filenames": [one.filename for one in stored],
                "ticket_ids": [one.ticket.ticket_id if one.ticket else None for one in stored],
            },
        )

    async def lift(self, versions: Mapping[str, int]) -> None:
        """Raise the versions of links that `current` has locked, and keep their content."""
        await self._connection.execute(
            with_arrays(f"""
                with u as (
                    select * from unnest(cast(:ids as text[]), cast(:versions as int[]))
                        as u (recording_id, link_version)
                ), before as (
                    insert into link_history ({_VERSION})
                    select {_VERSION_OF.format("link")} from link join u using (recording_id)
                    where link.link_version > 0 and link.link_version < u.link_version order by recording_id
                    on conflict do nothing
                ), lifted as (
                    update link set link_version = u.link_version from u
                    where link.recording_id = u.recording_id and link.link_version < u.link_version
                    returning link.recording_id, link.folder_id, link.link_version
                )
                insert into unheard_link (recording_id, folder_id, link_version)
                select * from lifted order by recording_id
                on conflict (recording_id) do update set folder_id = excluded.folder_id,
                    link_version = excluded.link_version, import_id = null
            """),  # noqa: S608  # this module's own text
            {"ids": list(versions), "versions": list(versions.values())},
        )

    async def touch(self, requests: Mapping[str, LinkRequest]) -> None:
        """Remember the newest requests of recordings whose link they left as it was."""
        await self._connection.execute(
            with_arrays("""
                update link set last_requested_at = u.requested_at, last_request_id = u.request_id
                from unnest(cast(:ids as text[]), cast(:requested as timestamptz[]), cast(:requests as text[]))
                    as u (recording_id, requested_at, request_id)
                where link.recording_id = u.recording_id
            """),
            {
                "ids": list(requests),
                "requested": [one.requested_at for one in requests.values()],
                "requests": [one.request_id for one in requests.values()],
            },
        )

    async def strike_off(self, versions: Mapping[str, int]) -> None:
        """These versions were heard, and are the links' own: neither they nor older ones wait for it any more.

        No link is locked: a row that got a newer version meanwhile says so itself, and stays.
        """
        ids = sorted(versions)
        await self._connection.execute(
            with_arrays("""
                with waiting as materialized (
                    select ctid as place, recording_id, link_version from unheard_link
                    where recording_id = any(cast(:ids as text[])) order by recording_id for update
                )
                delete from unheard_link where ctid = any(array(
                    select place from waiting
                        join unnest(cast(:ids as text[]), cast(:versions as int[])) as u (recording_id, version)
                            using (recording_id)
                    where link_version <= u.version))
            """),
            {"ids": ids, "versions": [versions[one] for one in ids]},
        )

    async def hear(self, versions: Mapping[str, int]) -> None:
        """These versions are the last on the topic: whatever has another version is to be announced."""
        ids = sorted(versions)
        await self.lock(ids)
        await self._connection.execute(
            with_arrays("""
                with told as (
                    select recording_id, l.folder_id, l.link_version, l.link_version = u.link_version as heard
                    from unnest(cast(:ids as text[]), cast(:versions as int[])) as u (recording_id, link_version)
                        join link l using (recording_id)
                ), done as (
                    delete from unheard_link using told
                    where unheard_link.recording_id = told.recording_id and told.heard
                )
                insert into unheard_link (recording_id, folder_id, link_version)
                select recording_id, folder_id, link_version from told where not heard order by recording_id
                on conflict do nothing
            """),
            {"ids": ids, "versions": [versions[one] for one in ids]},
        )

    async def lock(self, recording_ids: Collection[str]) -> None:
        """Lock these links in their order, those of them that there are: an update alone locks in the planner's."""
        await self._connection.execute(
            with_arrays("""
                select from link where recording_id = any(cast(:ids as text[])) order by recording_id for update
            """),
            {"ids": list(recording_ids)},
        )
