"""The SQL that finds the recordings which a request may mean, by id, or by name and folder as people write them."""

from collections import defaultdict
from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from services.linker.decisions import KnownRecording, Target
from shared.arrays import with_arrays

_KNOWN = "r.recording_id, r.folder_id, r.folder_name, r.filename, coalesce(r.recorded_at, r.processed_at)"


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
        folders = await self.folders({folder for place in named if (folder := targets[place].folder) is not None})
        # A row for each folder that may be meant; an unknown folder has no recordings yet, so none.
        asked: list[tuple[int, str | None]] = []
        for place in named:
            folder = targets[place].folder
            asked += [(place, None)] if folder is None else [(place, one) for one in folders[folder]]
        whole = f"""
            select u.place, c.* from u cross join lateral (
                select {_KNOWN} from recording r
                where r.name_key = u.name_key and (u.folder_id is null or r.folder_id = u.folder_id)
                order by r.arrived limit 10) c
        """  # noqa: S608  # _KNOWN is this module's own text
        stem = f"""
            select u.place, c.* from u cross join lateral (
                select {_KNOWN} from recording r
                where r.stem_key = u.name_key and r.name_key <> u.name_key
                    and (u.folder_id is null or r.folder_id = u.folder_id)
                order by r.arrived limit 10) c
        """  # noqa: S608  # as above
        await self._find(whole, asked, targets, found)
        await self._find(stem, [one for one in asked if not targets[one[0]].has_extension], targets, found)

    async def _find(
        self,
        select: str,
        asked: Sequence[tuple[int, str | None]],
        targets: Sequence[Target],
        found: list[list[KnownRecording]],
    ) -> None:
        if not asked:
            return
        rows = await self._connection.execute(
            with_arrays(f"""
                with u as (
                    select * from unnest(cast(:places as int[]), cast(:names as text[]),
                                         cast(:folders as text[]))
                        as u (place, name_key, folder_id)
                ) {select}
            """),  # noqa: S608  # as above
            {
                "places": [place for place, _ in asked],
                "names": [targets[place].name_key for place, _ in asked],
                "folders": [folder_id for _, folder_id in asked],
            },
        )
        for row in rows.all():
            found[row[0]].append(KnownRecording(*row[1:]))

    async def folders(self, given: Collection[str]) -> dict[str, list[str]]:
        """What people call a folder → the folder_ids that it may be: the one of that id, else those of that name."""
        rows = await self._connection.execute(
            with_arrays("""
                select g.folder, array(
                    select distinct folder_id from recording where folder_id = g.folder
                    union
                    select distinct folder_id from recording where folder_name = g.folder
                      and not exists (select from recording where folder_id = g.folder)
                    order by 1) as folder_ids
                from unnest(cast(:given as text[])) as g (folder)
            """),
            {"given": sorted(given)},
        )
        return {row.folder: row.folder_ids for row in rows}
