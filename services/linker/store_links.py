"""The SQL of links: the newest of each recording, every version that was given, and what is still to be announced."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketInfo, TicketLinked
from schemas.topics import TICKET_LINKED
from services.linker.decisions import CurrentLink, KnownRecording, LinkRequest, NewLink
from shared.facts import as_record
from shared.producer import Outgoing


@dataclass(frozen=True)
class LinkRow:
    """A link as it is to be stored."""

    recording_id: str
    link_version: int
    ticket: TicketInfo | None
    folder_id: str
    filename: str
    source: str
    request_id: str
    requested_at: datetime
    linked_by: str | None
    import_id: str | None
    occurred_at: datetime

    @classmethod
    def of_request(cls, request: LinkRequest, recording: KnownRecording, link: NewLink, *, now: datetime) -> "LinkRow":
        """The link that a request made."""
        return cls(
            recording.recording_id,
            link.link_version,
            link.ticket,
            recording.folder_id,
            recording.filename,
            request.source,
            request.request_id,
            request.requested_at,
            request.linked_by,
            request.import_id,
            now,
        )

    @classmethod
    def of_fact(cls, fact: TicketLinked, link_version: int) -> "LinkRow":
        """A link of ours that was read back."""
        return cls(
            fact.recording_id,
            link_version,
            fact.ticket_info,
            fact.folder_id,
            fact.filename,
            fact.source,
            fact.request_id,
            fact.requested_at,
            fact.linked_by,
            fact.import_id,
            fact.occurred_at,
        )


class Links:
    """One transaction's view of the tables `link` and `link_history`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def current(self, recording_ids: Collection[str]) -> dict[str, CurrentLink]:
        """The newest links of these recordings, locked."""
        rows = await self._connection.execute(
            text("""
                select recording_id, link_version, ticket, request_id, last_requested_at, last_request_id from link
                where recording_id = any(:ids) order by recording_id for update
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

    async def versions(self, recording_ids: Collection[str]) -> dict[str, tuple[int, str, int]]:
        """(link_version, request_id, heard_version) of those that have a link; nothing is locked."""
        rows = await self._connection.execute(
            text(
                "select recording_id, link_version, request_id, heard_version from link where recording_id = any(:ids)"
            ),
            {"ids": list(recording_ids)},
        )
        return {row.recording_id: (row.link_version, row.request_id, row.heard_version) for row in rows}

    async def store(self, links: Sequence[LinkRow]) -> None:
        """Store new versions, in the order given; the last of a recording is its newest. Version 0 has no history."""
        newest = {link.recording_id: link for link in links}
        await self._connection.execute(
            text("""
                insert into link_history (recording_id, link_version, ticket, source, request_id, requested_at,
                                          linked_by, import_id, occurred_at)
                select * from unnest(
                    cast(:ids as text[]), cast(:versions as int[]), cast(:tickets as text[]), cast(:sources as text[]),
                    cast(:requests as text[]), cast(:requested as timestamptz[]), cast(:linked_by as text[]),
                    cast(:imports as text[]), cast(:occurred as timestamptz[]))
                on conflict do nothing
            """),
            _columns([link for link in links if link.link_version > 0]),
        )
        await self._connection.execute(
            text("""
                insert into link (recording_id, link_version, ticket, source, request_id, requested_at, linked_by,
                                  import_id, occurred_at, folder_id, filename, ticket_id, last_requested_at,
                                  last_request_id, heard_version)
                select u.*, cast(u.ticket as jsonb) ->> 'ticket_id', u.requested_at, u.request_id, 0
                from unnest(
                    cast(:ids as text[]), cast(:versions as int[]), cast(:tickets as text[]), cast(:sources as text[]),
                    cast(:requests as text[]), cast(:requested as timestamptz[]), cast(:linked_by as text[]),
                    cast(:imports as text[]), cast(:occurred as timestamptz[]), cast(:folders as text[]),
                    cast(:filenames as text[]))
                as u (recording_id, link_version, ticket, source, request_id, requested_at, linked_by, import_id,
                      occurred_at, folder_id, filename)
                order by recording_id
                on conflict (recording_id) do update set
                    link_version = excluded.link_version, ticket = excluded.ticket, ticket_id = excluded.ticket_id,
                    source = excluded.source, request_id = excluded.request_id, requested_at = excluded.requested_at,
                    linked_by = excluded.linked_by, import_id = excluded.import_id, occurred_at = excluded.occurred_at,
                    folder_id = excluded.folder_id, filename = excluded.filename,
                    last_requested_at = excluded.last_requested_at, last_request_id = excluded.last_request_id
                where link.link_version < excluded.link_version
            """),
            _columns([newest[one] for one in sorted(newest)])
            | {
                "folders": [newest[one].folder_id for one in sorted(newest)],
                "filenames": [newest[one].filename for one in sorted(newest)],
            },
        )

    async def lift(self, versions: Mapping[str, int]) -> None:
        """Raise versions and keep the content."""
        await self._connection.execute(
            text("""
                update link set link_version = u.link_version
                from unnest(cast(:ids as text[]), cast(:versions as int[])) as u (recording_id, link_version)
                where link.recording_id = u.recording_id and link.link_version < u.link_version
            """),
            {"ids": list(versions), "versions": list(versions.values())},
        )

    async def touch(self, requests: Mapping[str, LinkRequest]) -> None:
        """Remember the newest requests of recordings whose link they left as it was."""
        await self._connection.execute(
            text("""
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

    async def hear(self, versions: Mapping[str, int]) -> None:
        """These versions are the last on the topic."""
        ids = sorted(versions)
        await self._connection.execute(
            text("""
                update link set heard_version = u.link_version
                from unnest(cast(:ids as text[]), cast(:versions as int[])) as u (recording_id, link_version)
                where link.recording_id = u.recording_id and link.heard_version <> u.link_version
            """),
            {"ids": ids, "versions": [versions[one] for one in ids]},
        )


def _columns(links: Sequence[LinkRow]) -> dict[str, list[object]]:
    return {
        "ids": [one.recording_id for one in links],
        "versions": [one.link_version for one in links],
        "tickets": [one.ticket.model_dump_json() if one.ticket else None for one in links],
        "sources": [one.source for one in links],
        "requests": [one.request_id for one in links],
        "requested": [one.requested_at for one in links],
        "linked_by": [one.linked_by for one in links],
        "imports": [one.import_id for one in links],
        "occurred": [one.occurred_at for one in links],
    }


async def unheard(connection: AsyncConnection, limit: int) -> Mapping[str, object]:
    """Recording → link_version, folder by folder; the links of an import not before all its rows are stored."""
    rows = await connection.execute(
        text("""
            select recording_id, link_version from link
            where heard_version <> link_version and (import_id is null or not exists (
                select from import i where i.import_id = link.import_id and i.finished_at is null))
            order by folder_id, recording_id limit :limit
        """),
        {"limit": limit},
    )
    return {row.recording_id: row.link_version for row in rows}


async def facts(connection: AsyncConnection, recording_ids: Sequence[str]) -> Mapping[str, tuple[object, Outgoing]]:
    """Recording → (link_version, record) as the links are now."""
    rows = await connection.execute(
        text("""
            select recording_id, link_version, ticket, folder_id, filename, source, request_id, requested_at, linked_by,
                   import_id, occurred_at
            from link where recording_id = any(:ids) order by folder_id, recording_id
        """),
        {"ids": list(recording_ids)},
    )
    found = {}
    for row in rows:
        event = TicketLinked(
            recording_id=row.recording_id,
            folder_id=row.folder_id,
            filename=row.filename,
            link_version=row.link_version,
            ticket_info=TicketInfo.model_validate_json(row.ticket) if row.ticket else None,
            source=row.source,
            request_id=row.request_id,
            requested_at=row.requested_at,
            linked_by=row.linked_by,
            import_id=row.import_id,
            occurred_at=row.occurred_at,
        )
        record = as_record(
            TICKET_LINKED,
            event,
            key=row.recording_id,
            version=str(row.link_version),
            source="linker",
            time=row.occurred_at,
        )
        found[row.recording_id] = (row.link_version, record)
    return found
