"""The SQL of ledgers in the folds: the next seqs of a folder in the cloud, and when it is to be pushed.

A folder of which nothing is behind is not due: its cursors move along with its last seq. Ledgers are locked in sorted
order, after the recordings: they are the last locks of a transaction.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from services.cloud_updater.decisions import MAX_FILES
from shared.arrays import with_arrays
from shared.sql import text


@dataclass(frozen=True)
class Quiet:
    """How long a folder must be without a change before it is pushed, and how long that may take at most; seconds."""

    least_s: float
    most_s: float


# The middle of a statement that changes recordings. In: `changes`, locked rows, those that are in the cloud with a
# `clouds_uuid`; `behind`: the cloud is to be told; `patient`: not at once; `number`: their order. Out: `numbered`, the
# same with the next `seq` of each one's folder, null if it is nowhere; `locked`, those folders' ledgers as they were.
# A single change on a quiet folder goes at once, unless it is patient; otherwise the folder is pushed when it has been
# quiet for a moment, or has changed as often as a request holds files. One that failed keeps the time of its next try.
# What the cursors said of a recording has to be asked of `locked`, never of `ledger`: `taken` moves them, and of a
# ledger that was waited for only the locking clause gives the newest row.
WITH_SEQS = f"""
    folders as (
        select clouds_uuid, count(*) as count, bool_or(behind) as behind,
            count(*) = 1 and not bool_or(patient) as at_once
        from changes where clouds_uuid is not null group by clouds_uuid
    ), locked as materialized (
        select l.* from ledger l join folders using (clouds_uuid) order by l.clouds_uuid for update of l
    ), taken as (
        update ledger set
            last_seq = ledger.last_seq + u.count,
            cursor = case when u.behind or ledger.cursor < ledger.last_seq then ledger.cursor
                          else ledger.last_seq + u.count end,
            announced_cursor = case when u.behind or ledger.announced_cursor < ledger.last_seq
                                        then ledger.announced_cursor else ledger.last_seq + u.count end,
            changed_at = case when u.behind then now() else ledger.changed_at end,
            owed_since = case when u.behind then coalesce(ledger.owed_since, now()) else ledger.owed_since end,
            due_at = case
                when not u.behind or (ledger.attempts > 0 and ledger.due_at is not null) then ledger.due_at
                when u.at_once
                    and (ledger.changed_at is null or ledger.changed_at < now() - make_interval(secs => :least_s))
                    then now()
                when ledger.last_seq + u.count - ledger.cursor >= coalesce(ledger.batch_limit, {MAX_FILES})
                    then least(ledger.due_at, now())
                else least(now() + make_interval(secs => :least_s),
                           coalesce(ledger.owed_since, now()) + make_interval(secs => :most_s))
            end
        from folders u join locked using (clouds_uuid)
        where ledger.clouds_uuid = u.clouds_uuid
        returning ledger.clouds_uuid, ledger.last_seq - u.count as last_seq
    ), numbered as (
        select c.*, t.last_seq + row_number() over (partition by c.clouds_uuid order by c.number) as seq
        from changes c left join taken t using (clouds_uuid)
    )
"""  # noqa: S608  # this module's own text


class Ledgers:
    """One transaction's view of the table."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def open(self, placed: Mapping[str, object]) -> None:
        """Make sure of the ledgers of transfers that are newer; a folder that takes uploads again is not missing.

        `placed`: their `ids`, `folders`, `uuids` and `versions`, each a list. The recordings are locked.
        """
        await self._connection.execute(
            with_arrays("""
                insert into ledger (clouds_uuid, folder_id, last_seq, cursor, announced_cursor, forced_until,
                                    generation, attempts, missing)
                select distinct on (u.clouds_uuid) u.clouds_uuid, u.folder_id, 0, 0, 0, 0, 0, 0, false
                from unnest(cast(:ids as text[]), cast(:folders as text[]), cast(:uuids as text[]),
                            cast(:versions as int[])) as u (recording_id, folder_id, clouds_uuid, transfer_version)
                    join recording r using (recording_id)
                where r.transfer_version < u.transfer_version order by u.clouds_uuid
                on conflict (clouds_uuid) do update set missing = false, due_at = now() where ledger.missing
            """),
            placed,
        )

    async def lock(self, uuids: Iterable[str]) -> None:
        """Lock these ledgers in sorted order."""
        await self._connection.execute(
            text("select from ledger where clouds_uuid = any(:uuids) order by clouds_uuid for update"),
            {"uuids": list(uuids)},
        )
