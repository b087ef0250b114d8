"""The SQL that finds the recordings which a request may mean, by id, or by name and folder as people write them."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import KnownRecording
from services.linker.target import Target
from shared.arrays import with_arrays

_KNOWN = "r.recording_id, r.folder_id, r.folder_name, r.filename, coalesce(r.recorded_at, r.processed_at)"

# The folder_ids that a folder g may be as people write it: the one of that id, else those of that name.
_FOLDER_IDS = """
    select distinct folder_id from recording where folder_id = g.folder
    union
    select distinct folder_id from recording where folder_name = g.folder
      and not exists (select from recording where folder_id = g.folder)
"""
# What is asked for is u (recording_id, name_key, has_extension, folder). A folder that nobody knows has no recordings.
MEANT_FOLDERS = f"""
    meant_folder as (
        select g.folder, f.folder_id
        from (select distinct folder from u where folder is not null and recording_id is null) g
            cross join lateral ({_FOLDER_IDS}) f
    )
"""  # noqa: S608  # this module's own text
_IN_FOLDER = "(u.folder is null or r.folder_id in (select folder_id from meant_folder m where m.folder = u.folder))"
_BY_WHOLE_NAME = f"u.recording_id is null and r.name_key = u.name_key and {_IN_FOLDER}"
_BY_STEM = f"""
    u.recording_id is null and not u.has_extension and r.stem_key = u.name_key and r.name_key <> u.name_key
    and {_IN_FOLDER}
"""
# The recording that u means, if it means exactly one.
THE_ONE_MEANT = f"""
    select case when count(*) = 1 then min(recording_id) end from (
        select r.recording_id from recording r where r.recording_id = u.recording_id and r.filename is not null
        union all (select r.recording_id from recording r where {_BY_WHOLE_NAME} limit 2)
        union all (select r.recording_id from recording r where {_BY_STEM} limit 2)) fitting
"""  # noqa: S608  # this module's own text


class Candidates:
    """One transaction's view of the table `recording`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def of(self, targets: Sequence[Target]) -> list[list[KnownRecording]]:
        """For each target the recordings that it may mean, at most ten."""
        found: list[list[KnownRecording]] = [[] for _ in targets]
        by_id: dict[str, list[int]] = defaultdict(list)
        by_name: list[int] = []
        for place, (recording_id, _, _) in enumerate(targets):
            if recording_id is None:
                by_name.append(place)
            else:
                by_id[recording_id].append(place)
        if by_id:
            rows = await self._connection.execute(
                with_arrays(f"""
                    select {_KNOWN} from recording r
                    where recording_id = any(cast(:ids as text[])) and filename is not null
                """),  # noqa: S608  # _KNOWN is this module's own text
                {"ids": list(by_id)},
            )
            for row in rows.all():
                for place in by_id[row[0]]:
                    found[place] = [KnownRecording(*row)]
        if by_name:
            await self._by_name(by_name, targets, found)
        return found

    async def _by_name(
        self, named: Sequence[int], targets: Sequence[Target], found: list[list[KnownRecording]]
    ) -> None:
        rows = await self._connection.execute(
            with_arrays(f"""
                with u as (
                    select *, cast(null as text) as recording_id
                    from unnest(cast(:places as int[]), cast(:names as text[]), cast(:have_extensions as boolean[]),
                                cast(:folders as text[])) as u (place, name_key, has_extension, folder)
                ), {MEANT_FOLDERS}
                select u.place, c.* from u cross join lateral (
                    select {_KNOWN} from recording r where {_BY_WHOLE_NAME} order by r.arrived limit 10) c
                union all
                select u.place, c.* from u cross join lateral (
                    select {_KNOWN} from recording r where {_BY_STEM} order by r.arrived limit 10) c
            """),  # noqa: S608  # this module's own text
            {
                "places": named,
                "names": [targets[place].name_key for place in named],
                "have_extensions": [targets[place].has_extension for place in named],
                "folders": [targets[place].folder for place in named],
            },
        )
        for row in rows.all():
            found[row[0]].append(KnownRecording(*row[1:]))

    async def folders(self, given: Collection[str]) -> dict[str, list[str]]:
        """What people call a folder → the folder_ids that it may be: the one of that id, else those of that name."""
        rows = await self._connection.execute(
            with_arrays(f"""
                select g.folder, array(select folder_id from ({_FOLDER_IDS}) f order by 1) as folder_ids
                from unnest(cast(:given as text[])) as g (folder)
            """),  # noqa: S608  # this module's own text
            {"given": sorted(given)},
        )
        return {row.folder: row.folder_ids for row in rows}
