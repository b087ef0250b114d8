"""The SQL of the folds: what is wanted, where it is, and what is known of the cloud.

Locks are taken in one order, here and in resyncs.py: recordings sorted by id, then ledgers sorted by uuid. Both folds
that concern a recording lock its row (making it if need be), so that of a link and a transfer that come at the same
moment the later one sees the earlier one. What is newer than the locked rows takes its folder's next seq and is stored
by one statement: to fetch each row and to say what becomes of it took twice the time. Rows are found by `= any`, at one
pass over the index, and those that are locked, which nobody else can move, are updated by their ctid.

PostgreSQL cannot know that the rows found are those asked for. Joined at once, it took 1,500 of 1,000,000 for two, and
compared each with each folder of the batch; so they are materialized, and a limit that takes nothing away says how many
they are at most.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingTransferred, TicketLinked
from services.cloud_updater.ledgers import WITH_SEQS, Ledgers, Quiet
from services.cloud_updater.predicates import ACKNOWLEDGED_LINK, ACKNOWLEDGED_TRANSFER, STILL_FORCED
from shared.arrays import json_lines, with_arrays
from shared.own_records import Skimmed
from shared.places import place_of
from shared.reading import Incoming


class Stored(NamedTuple):
    """Of the facts of a batch: how many were newer, and whether the cloud has to be told of any."""

    newer: int
    behind: bool


class Store:
    """One transaction's view of the tables."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def new_links(self, skimmed: Sequence[Skimmed]) -> set[int]:
        """The places of those whose link_version the recording does not have yet; nothing is locked."""
        found = await self._connection.scalars(
            with_arrays("""
                with known as (
                    select recording_id, link_version from recording where recording_id = any(cast(:ids as text[]))
                )
                select place - 1 from unnest(cast(:ids as text[]), cast(:versions as int[]))
                    with ordinality as u (recording_id, link_version, place) left join known k using (recording_id)
                where k.link_version >= u.link_version is not true
            """),
            {"ids": [one.key for one in skimmed], "versions": [one.order[0] for one in skimmed]},
        )
        return set(found)

    async def new_transfers(self, skimmed: Sequence[Skimmed]) -> set[int]:
        """The places of those whose transfer_version the recording does not have yet; nothing is locked."""
        found = await self._connection.scalars(
            with_arrays("""
                with known as (
                    select recording_id, transfer_version from recording where recording_id = any(cast(:ids as text[]))
                )
                select place - 1 from unnest(cast(:ids as text[]), cast(:versions as int[]))
                    with ordinality as u (recording_id, transfer_version, place) left join known k using (recording_id)
                where k.transfer_version >= u.transfer_version is not true
            """),
            {"ids": [one.key for one in skimmed], "versions": [one.order[0] for one in skimmed]},
        )
        return set(found)

    async def new_acknowledgements(self, skimmed: Sequence[Skimmed]) -> set[int]:
        """The places of those that neither the row nor the ledger's announced cursor knows; nothing is locked."""
        found = await self._connection.scalars(
            with_arrays(f"""
                select place - 1 from unnest(cast(:ids as text[]), cast(:transfers as int[]), cast(:links as int[]))
                    with ordinality as u (recording_id, transfer_version, link_version, place)
                where not exists (
                    select from recording r left join ledger l using (clouds_uuid)
                    where r.recording_id = u.recording_id
                        and ({ACKNOWLEDGED_TRANSFER}, {ACKNOWLEDGED_LINK}) >= (u.transfer_version, u.link_version))
            """),  # noqa: S608  # this module's own text
            {
                "ids": [one.key for one in skimmed],
                "transfers": [one.order[0] for one in skimmed],
                "links": [one.order[1] for one in skimmed],
            },
        )
        return set(found)

    async def want(self, links: Sequence[Incoming[TicketLinked]], quiet: Quiet) -> Stored:
        """Store the links that are newer, one of each recording; those of placed recordings take a seq.

        A new seq takes back a rejection. What was forced and is not pushed yet stays forced. A link that an import made
        waits until its folder is quiet.
        """
        facts = [one.event for one in links]
        ids = [one.recording_id for one in facts]
        tickets = json_lines([one.ticket_info.as_json() if one.ticket_info else b"null" for one in facts])
        await self._lock(ids)
        stored = await self._connection.execute(
            with_arrays(f"""
                with found as materialized (
                    select ctid as at, recording_id, clouds_uuid, transfer_version, link_version,
                        known_transfer_version, known_link_version
                    from recording where recording_id = any(cast(:ids as text[]))
                ), changes as (
                    select r.at, r.clouds_uuid, u.link_version, u.ticket, u.place, u.patient, u.number,
                        r.clouds_uuid is not null and (r.transfer_version, u.link_version)
                            > (r.known_transfer_version, r.known_link_version) as behind
                    from unnest(cast(:ids as text[]), cast(:versions as int[]), string_to_array(:tickets, chr(10)),
                                cast(:places as bigint[]), cast(:patient as boolean[]))
                            with ordinality as u (recording_id, link_version, ticket, place, patient, number)
                        join found r using (recording_id)
                    where r.link_version < u.link_version limit cardinality(cast(:ids as text[]))
                ), {WITH_SEQS}, stored as (
                    update recording r set
                        link_version = u.link_version, link_place = u.place, ticket = u.ticket,
                        seq = coalesce(u.seq, r.seq), rejected = null, forced = {STILL_FORCED},
                        known_transfer_version = {ACKNOWLEDGED_TRANSFER}, known_link_version = {ACKNOWLEDGED_LINK}
                    from numbered u left join locked l using (clouds_uuid)
                    where r.ctid = u.at
                )
                select count(*), coalesce(bool_or(behind), false) from changes
            """),  # noqa: S608  # this module's own text
            {
                "ids": ids,
                "versions": [one.link_version for one in facts],
                "tickets": tickets,
                "places": [place_of(one.record) for one in links],
                "patient": [one.source == "import" for one in facts],
                "least_s": quiet.least_s,
                "most_s": quiet.most_s,
            },
        )
        return Stored(*stored.one())

    async def place(self, transfers: Sequence[RecordingTransferred], quiet: Quiet) -> Stored:
        """Store the transfers that are newer, one of each recording, under new seqs; their folders get a ledger.

        The link that travelled is known there. What was forced or rejected in the old folder says nothing of the new
        one.
        """
        ids = [one.recording_id for one in transfers]
        placed = {
            "ids": ids,
            "folders": [one.folder_id for one in transfers],
            "uuids": [one.clouds_uuid for one in transfers],
            "versions": [one.transfer_version for one in transfers],
        }
        await self._lock(ids, new=True)
        await Ledgers(self._connection).open(placed)
        stored = await self._connection.execute(
            with_arrays(f"""
                with found as materialized (
                    select ctid as at, recording_id, transfer_version, link_version,
                        known_transfer_version, known_link_version
                    from recording where recording_id = any(cast(:ids as text[]))
                ), changes as (
                    select r.at, r.recording_id, u.folder_id, u.clouds_uuid, u.transfer_version, u.link_version,
                        u.number, true as patient,
                        r.link_version > u.link_version and (u.transfer_version, r.link_version)
                            > (r.known_transfer_version, r.known_link_version) as behind
                    from unnest(cast(:ids as text[]), cast(:folders as text[]), cast(:uuids as text[]),
                                cast(:versions as int[]), cast(:links as int[])) with ordinality
                            as u (recording_id, folder_id, clouds_uuid, transfer_version, link_version, number)
                        join found r using (recording_id)
                    where r.transfer_version < u.transfer_version limit cardinality(cast(:ids as text[]))
                ), {WITH_SEQS}, sent as (
                    insert into file (recording_id, body)
                    select recording_id, body
                    from unnest(cast(:ids as text[]), string_to_array(:bodies, chr(10))) as u (recording_id, body)
                        join changes using (recording_id)
                    on conflict (recording_id) do update set body = excluded.body
                ), stored as (
                    update recording r set
                        folder_id = u.folder_id, clouds_uuid = u.clouds_uuid, transfer_version = u.transfer_version,
                        seq = u.seq, forced = false, rejected = null,
                        known_transfer_version = greatest(r.known_transfer_version, u.transfer_version),
                        known_link_version = case
                            when (u.transfer_version, u.link_version) > (r.known_transfer_version, r.known_link_version)
                                then u.link_version else r.known_link_version end
                    from numbered u where r.ctid = u.at
                )
                select count(*), coalesce(bool_or(behind), false) from changes
            """),  # noqa: S608  # this module's own text
            {
                **placed,
                "links": [one.link_version for one in transfers],
                "bodies": json_lines([one.file.as_json() for one in transfers]),
                "least_s": quiet.least_s,
                "most_s": quiet.most_s,
            },
        )
        return Stored(*stored.one())

    async def acknowledge(self, newest: Mapping[str, tuple[int, int]]) -> int:
        """Store acknowledgements (transfer_version, link_version) that are newer than known; returns how many were."""
        await self._lock(newest)
        stored = await self._connection.execute(
            with_arrays("""
                update recording set
                    known_transfer_version = u.transfer_version, known_link_version = u.link_version
                from unnest(cast(:ids as text[]), cast(:transfers as int[]), cast(:links as int[]))
                    as u (recording_id, transfer_version, link_version)
                where recording.recording_id = u.recording_id
                    and (known_transfer_version, known_link_version) < (u.transfer_version, u.link_version)
            """),
            {
                "ids": list(newest),
                "transfers": [transfer_version for transfer_version, _ in newest.values()],
                "links": [link_version for _, link_version in newest.values()],
            },
        )
        return stored.rowcount

    async def _lock(self, recording_ids: Collection[str], *, new: bool = False) -> None:
        """Lock the rows of these recordings, in sorted order; whoever has none, as most `new` ones, gets an empty one.

        By themselves: a statement sees the ledgers as they were when it began, and whoever had a row until now may have
        put its recording into a folder that was new. And new rows before any is locked: two batches, each with a row
        that the other makes, would wait for each other.
        """
        ids = {"ids": list(recording_ids)}
        if new or await self._known(ids) < len(recording_ids):
            await self._connection.execute(
                with_arrays("""
                    insert into recording (recording_id, transfer_version, link_version, known_transfer_version,
                                           known_link_version, seq, forced)
                    select recording_id, 0, 0, 0, 0, 0, false
                    from (
                        select * from unnest(cast(:ids as text[])) as u (recording_id)
                        except select recording_id from recording where recording_id = any(cast(:ids as text[]))
                    ) missing
                    order by recording_id
                    on conflict do nothing
                """),
                ids,
            )
        await self._connection.execute(
            with_arrays("""
                select count(*) from (
                    select from recording where recording_id = any(cast(:ids as text[])) order by recording_id
                    for update
                ) locked
            """),
            ids,
        )

    async def _known(self, ids: Mapping[str, object]) -> int:
        """How many have a row: half of what it takes to find those that have none."""
        found = await self._connection.execute(
            with_arrays("select count(*) from recording where recording_id = any(cast(:ids as text[]))"), ids
        )
        known: int = found.scalar_one()
        return known
