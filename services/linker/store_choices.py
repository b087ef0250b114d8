"""The SQL of choices: to which recording a request went that names its recording by a filename.

Such a request may come again at any time, when another recording may have that filename; what was chosen once stands,
as a row of `parked_link` in the state applied, whether or not the request had to wait.
"""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import LinkRequest
from services.linker.store_parked import IN_FOLDER, NAME, STEM, target_key
from shared.arrays import with_arrays
from shared.sql import text


class Choices:
    """One transaction's view of the choices that were made."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def made(self, requests: Sequence[LinkRequest]) -> dict[int, str | None]:
        """For requests that come again, by their place, the recording that they were applied to: no new choice.

        None: it waited in vain, because a newer one took its place or somebody took it back or gave it up. The link
        that a request has made says so as well, and is there again after the database was lost; but of two that were
        made under one request_id it does not say which.
        """
        came_before = await self._connection.scalar(
            text("""
                select exists (select from parked_link where request_id = any(:requests))
                    or exists (select from link where source <> 'import' and request_id = any(:requests))
            """),
            {"requests": [one.request_id for one in requests]},
        )
        if not came_before:
            return {}
        found = await self._connection.execute(
            with_arrays(f"""
                with p as (
                    select * from unnest(cast(:places as int[]), cast(:requests as text[]), cast(:targets as text[]),
                                         cast(:requested as timestamptz[]), cast(:names as text[]),
                                         cast(:folders as text[]), cast(:extended as boolean[]))
                        as u (place, request_id, target, requested_at, name_key, folder, has_extension)
                )
                select p.place, a.applied_to as recording_id, true as parked
                from p join parked_link a using (request_id, target)
                where (a.state = 'applied' and a.applied_to is not null)
                    or (a.state in ('superseded', 'withdrawn', 'dropped') and a.requested_at = p.requested_at)
                union all
                select p.place, l.recording_id, false from p join link l using (request_id)
                where l.source <> 'import'
                    and md5({STEM.format("p.name_key")}) = md5({STEM.format(NAME.format("l.filename"))})
                    and (p.name_key = {NAME.format("l.filename")} or not p.has_extension) and {IN_FOLDER}
            """),  # noqa: S608  # this module's own text
            {
                "places": list(range(len(requests))),
                "requests": [one.request_id for one in requests],
                "targets": [target_key(one.target) for one in requests],
                "requested": [one.requested_at for one in requests],
                "names": [one.target.name_key for one in requests],
                "folders": [one.target.folder for one in requests],
                "extended": [one.target.has_extension for one in requests],
            },
        )
        parked: dict[int, str | None] = {}
        linked: dict[int, list[str]] = {}
        for row in found:
            if row.parked:
                parked[row.place] = row.recording_id
            else:
                linked.setdefault(row.place, []).append(row.recording_id)
        return {place: made[0] for place, made in linked.items() if len(made) == 1} | parked

    async def note(self, requests: Sequence[tuple[LinkRequest, str]]) -> None:
        """Write down to which recordings these went, though none had to wait: asked again they go to no other."""
        ordered = sorted(requests, key=lambda one: (one[0].request_id, target_key(one[0].target)))
        await self._connection.execute(
            with_arrays("""
                insert into parked_link (request_id, target, folder, filename, name_key, has_extension, keeps, source,
                                         requested_at, on_existing, parked_at, state, applied_to)
                select u.request_id, u.target, u.folder, u.filename, u.name_key, u.has_extension, '[]', u.source,
                       u.requested_at, 'overwrite', now(), 'applied', u.applied_to
                from unnest(
                    cast(:requests as text[]), cast(:targets as text[]), cast(:folders as text[]),
                    cast(:filenames as text[]), cast(:names as text[]), cast(:extended as boolean[]),
                    cast(:sources as text[]), cast(:requested as timestamptz[]), cast(:ids as text[]))
                    as u (request_id, target, folder, filename, name_key, has_extension, source, requested_at,
                          applied_to)
                on conflict do nothing
            """),
            {
                "requests": [one.request_id for one, _ in ordered],
                "targets": [target_key(one.target) for one, _ in ordered],
                "folders": [one.target.folder for one, _ in ordered],
                "filenames": [one.target.filename for one, _ in ordered],
                "names": [one.target.name_key for one, _ in ordered],
                "extended": [one.target.has_extension for one, _ in ordered],
                "sources": [one.source for one, _ in ordered],
                "requested": [one.requested_at for one, _ in ordered],
                "ids": [recording_id for _, recording_id in ordered],
            },
        )
