"""The SQL that finds the recordings which a request may mean, by id, or by name and folder as people write them."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import KnownRecording
from services.linker.target import Target
from shared.arrays import with_arrays

_KNOWN = "r.recording_id, r.folder_id, r.folder_name, r.filename, coalesce(r.recorded_at, r.processed_at)"

# The folder_ids that a folder g may be as people write it: the one of that id, else those of that name. From one to the
# next by the index: a folder may have any number of recordings. Where one row is enough it is asked for in the order of
# an index: of few folders, or filenames, PostgreSQL expects one nearby in the table, and reads all if there is none.
_FOLDER_IDS = """
    with recursive named (folder_id) as (
        (select folder_id from recording where folder_name = g.folder and (
            select recording_id from recording where folder_id = g.folder order by recording_id limit 1) is null
            order by folder_id limit 1)
        union all
        select (select folder_id from recording r where r.folder_name = g.folder and r.folder_id > named.folder_id
                order by folder_id limit 1)
        from named where folder_id is not null
    )
    select folder_id from named where folder_id is not null
    union all
    (select folder_id from recording where folder_id = g.folder order by recording_id limit 1)
"""
# What is asked for is u (recording_id, name_key, has_extension, folder). A folder that nobody knows has no recordings.
MEANT_FOLDERS = f"""
    meant_folder as (
        select g.folder, array({_FOLDER_IDS}) as folder_ids
        from (select distinct folder from u where folder is not null and recording_id is null) g
    )
"""  # noqa: S608  # this module's own text
WITH_MEANT_FOLDERS = "u left join meant_folder m on m.folder = u.folder"
_NAMES = ("r.name_key = u.name_key", "not u.has_extension and r.stem_key = u.name_key and r.name_key <> u.name_key")
_FOLDERS = ("u.folder is null", "r.folder_id = any(m.folder_ids)")


def meant_by_name(columns: str, *, each: str) -> str:
    """The recordings that u means by a name, of each kind of name so many: SQL for a lateral join.

    Each kind by itself: with an `or` between them, all recordings of that name would be read, in whatever folder.
    """
    return " union all ".join(
        f"(select {columns} from recording r where u.recording_id is null and {name} and {folder} {each})"  # noqa: S608  # this module's own text
        for name in _NAMES
        for folder in _FOLDERS
    )


# The recording that u means, if it means exactly one.
THE_ONE_MEANT = f"""
    select case when count(*) = 1 then min(recording_id) end from (
        select r.recording_id from recording r where r.recording_id = u.recording_id and r.filename is not null
        union all {meant_by_name("r.recording_id", each="order by r.folder_id limit 2")}) fitting
"""  # noqa: S608  # this module's own text


class Candidates:
    """One transaction's view of the table `recording`."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def of(self, targets: Sequence[Target]) -> list[list[KnownRecording]]:
        """For each target the recordings that it may mean; of more than ten, any ten."""
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
                select u.place, c.* from {WITH_MEANT_FOLDERS} cross join lateral (
                    select {_KNOWN} from ({meant_by_name("r.*", each="order by r.folder_id limit 10")}) r
                    order by r.arrived limit 10) c
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
