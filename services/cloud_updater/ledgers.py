"""The SQL of ledgers in the folds: the next seqs of a folder in the cloud, and when it is to be pushed.

A folder of which nothing is behind is not due: its cursors move along with its last seq. Ledgers are locked in sorted
order, after the recordings: they are the last locks of a transaction.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.sql import text


@dataclass(frozen=True)
class Quiet:
    """How long a folder must be without a change before it is pushed, and how long that may take at most; seconds."""

    least_s: float
    most_s: float


class Change(NamedTuple):
    """A placed, locked recording that takes a seq. `behind`: the cloud is to be told; `patient`: not at once."""

    recording_id: str
    clouds_uuid: str
    behind: bool
    patient: bool


class Ledgers:
    """One transaction's view of the table."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def open(self, folders: Mapping[str, str]) -> None:
        """Make sure of the ledgers of these folders (uuid → folder_id); one that takes uploads again is not missing."""
        uuids = sorted(folders)
        await self._connection.execute(
            text("""
                insert into ledger (clouds_uuid, folder_id, last_seq, cursor, announced_cursor, forced_until,
                                    generation, attempts, missing)
                select clouds_uuid, folder_id, 0, 0, 0, 0, 0, 0, false
                from unnest(cast(:uuids as text[]), cast(:folders as text[])) as u (clouds_uuid, folder_id)
                order by clouds_uuid
                on conflict (clouds_uuid) do update set missing = false, due_at = now() where ledger.missing
            """),
            {"uuids": uuids, "folders": [folders[uuid] for uuid in uuids]},
        )

    async def take_seqs(self, changes: Sequence[Change], quiet: Quiet) -> dict[str, int]:
        """The next seq of each change's folder, by recording; and say when the folder is to be pushed.

        A single change on a quiet folder goes at once, unless it is patient; otherwise the folder is pushed when it has
        been quiet for a moment. A folder that failed keeps the time of its next try.
        """
        by_uuid: dict[str, list[Change]] = defaultdict(list)
        for change in changes:
            by_uuid[change.clouds_uuid].append(change)
        rows = await self._connection.execute(
            text("""
                with locked as materialized (
                    select clouds_uuid from ledger where clouds_uuid = any(:uuids) order by clouds_uuid for update
                )
                update ledger set
                    last_seq = last_seq + u.count,
                    cursor = case when u.behind or cursor < last_seq then cursor else last_seq + u.count end,
                    announced_cursor = case when u.behind or announced_cursor < last_seq then announced_cursor
                                            else last_seq + u.count end,
                    changed_at = case when u.behind then now() else changed_at end,
                    owed_since = case when u.behind then coalesce(owed_since, now()) else owed_since end,
                    due_at = case
                        when not u.behind or (attempts > 0 and due_at is not null) then due_at
                        when u.at_once and (changed_at is null or changed_at < now() - make_interval(secs => :least_s))
                            then now()
                        else least(now() + make_interval(secs => :least_s),
                                   coalesce(owed_since, now()) + make_interval(secs => :most_s))
                    end
                from unnest(cast(:uuids as text[]), cast(:counts as bigint[]), cast(:behind as boolean[]),
                            cast(:at_once as boolean[])) as u (clouds_uuid, count, behind, at_once)
                    join locked using (clouds_uuid)
                where ledger.clouds_uuid = u.clouds_uuid
                returning ledger.clouds_uuid, last_seq - u.count + 1 as first_seq
            """),
            {
                "uuids": list(by_uuid),
                "counts": [len(of_folder) for of_folder in by_uuid.values()],
                "behind": [any(one.behind for one in of_folder) for of_folder in by_uuid.values()],
                "at_once": [len(of_folder) == 1 and not of_folder[0].patient for of_folder in by_uuid.values()],
                "least_s": quiet.least_s,
                "most_s": quiet.most_s,
            },
        )
        return {
            one.recording_id: row.first_seq + place
            for row in rows
            for place, one in enumerate(by_uuid[row.clouds_uuid])
        }

    async def lock(self, uuids: Iterable[str]) -> None:
        """Lock these ledgers in sorted order."""
        await self._connection.execute(
            text("select from ledger where clouds_uuid = any(:uuids) order by clouds_uuid for update"),
            {"uuids": list(uuids)},
        )
