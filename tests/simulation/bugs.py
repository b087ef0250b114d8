"""Deliberate bugs: each takes one rule out of the product, and the simulation must notice.

A bug is a replacement of one function of the product, or of the model of its SQL, for as long as seeds are run. A
simulation that does not catch one of them proves nothing about the rule that it breaks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketLinked
from schemas.fields import CloudsUuid
from services.cloud_updater.claims import Claimed
from services.cloud_updater.push_tickets import PushTickets
from services.linker import link_recordings
from services.linker.decisions import CurrentLink, KnownRecording, LinkDecision, LinkRequest, decide_link
from services.transfer.conclusions import Conclusions
from services.transfer.freeze_requests import FreezeRequests
from services.transfer.requests import OpenRequest, Requests
from services.transfer.uploads import Folder
from shared import positions
from shared.announce import Announcer
from shared.announce_once import GATHER_S, OnceAnnouncer
from shared.batch import Folded, fold_records
from shared.fold import Fold, _RowsElsewhere
from shared.gate import Gate
from shared.lane import Lane
from shared.lane_state import LaneState
from shared.own_records import OwnBatch, OwnRecords, Skimmed
from shared.positions import Move
from shared.producer import Outgoing
from shared.reading import Read
from tests.simulation import runs, updater_store
from tests.simulation.clock import BEGINNING
from tests.simulation.cloud import KEYS
from tests.simulation.database import tables_of
from tests.simulation.seams import replaced
from tests.simulation.updater_outcomes import PushesModel
from tests.simulation.updater_store import ClaimsModel, Ledger, Recording, UpdaterTables, record_of

_LONG_AGO = (datetime.min.replace(tzinfo=UTC), "")


@dataclass(frozen=True)
class Bug:
    """`changes`: (owner, name, what stands there instead). `seeds`: it is caught within so many, with some to spare.
    `breaks`: words of the promise that is found broken; a program that merely fails has not shown that."""

    name: str
    what: str
    changes: tuple[tuple[Any, str, Any], ...]
    seeds: int
    breaks: str


@dataclass(frozen=True)
class Found:
    """`seed` is None if no seed caught it; `caught`: what the first one said."""

    bug: Bug
    seed: int | None
    caught: str | None


async def _position_first(self: Fold, moves: list[Move], batch: Read, *, halve: bool) -> Folded:  # noqa: ARG001
    async with self.database.transaction() as connection:
        if not await positions.move(connection, moves):
            raise _RowsElsewhere
    async with self.database.transaction() as connection:
        return await fold_records(connection, batch, apply=self.apply, news=self.news)


def _whatever_comes_last(_: Recording, __: TicketLinked) -> bool:
    return True


async def _all_are_news(self: updater_store.StoreModel, skimmed: Sequence[Skimmed]) -> set[int]:  # noqa: ARG001
    return set(range(len(skimmed)))


async def _rebuilt(self: FreezeRequests, folder: Folder, found: OpenRequest) -> OpenRequest | None:
    await Requests(self.connection).close([found])
    return next(iter(await self.freeze([folder])), None)


_claim = ClaimsModel.claim


async def _claim_what_others_have(
    self: ClaimsModel, token: UUID, *, lease_s: float, with_versions: bool, limit: int = 1, requests: int = 1
) -> Sequence[Claimed]:
    tables = tables_of(self._connection, UpdaterTables)
    for uuid, row in tables.ledger.items():
        if row.lease_until:
            tables.ledger[uuid] = row._replace(lease_until=None, due_at=row.changed_at or row.due_at)
    return await _claim(self, token, lease_s=lease_s, with_versions=with_versions, limit=limit, requests=requests)


def _is_there(ledger: Ledger, _: object) -> bool:
    return not ledger.missing


async def _mark_first(self: OnceAnnouncer) -> float | None:
    async with self.database.transaction() as connection:
        lot = await self.lot(connection)
        if lot is None:
            return None
        await lot.mark(connection)
    await self.producer.publish(lot.records)
    return GATHER_S


_acknowledged = PushesModel.acknowledged


async def _clear_duties(self: PushesModel, claimed: Sequence[Claimed], *, quiet_s: float) -> frozenset[str]:
    duties = tables_of(self._connection, UpdaterTables).duty
    for one in claimed:
        for file in one.files:
            duties.pop(file.recording_id, None)
    return await _acknowledged(self, claimed, quiet_s=quiet_s)


async def _whoever_has_it(self: PushesModel, claimed: Sequence[Claimed], *, quiet_s: float) -> frozenset[str]:
    ledgers = tables_of(self._connection, UpdaterTables).ledger
    ours = [replace(one, token=ledgers[one.clouds_uuid].lease_token or one.token) for one in claimed]
    return await _acknowledged(self, ours, quiet_s=quiet_s)


async def _forget_the_generation(self: PushesModel, claimed: Sequence[Claimed], *, quiet_s: float) -> frozenset[str]:
    ledgers = tables_of(self._connection, UpdaterTables).ledger
    present = [replace(one, generation=ledgers[one.clouds_uuid].generation) for one in claimed]
    return await _acknowledged(self, present, quiet_s=quiet_s)


async def _pass(self: Gate, connection: AsyncConnection) -> None:
    """Nobody looks."""


def _in_order_of_arrival(
    request: LinkRequest, recording: KnownRecording, current: CurrentLink | None, *, now: datetime
) -> LinkDecision:
    return decide_link(request, recording, current and current._replace(order=_LONG_AGO), now=now)


async def _note_nothing(self: ClaimsModel, claimed: Claimed) -> None:
    """A crash leaves nothing; an unknown outcome that somebody lived to record has its duty all the same."""


async def _end_what_was_not_noted(
    self: ClaimsModel, claimed: Claimed, *, may_take_effect: bool, second_push_after_s: float
) -> None:
    if may_take_effect:
        await self.push_once_more(claimed.files, after_s=second_push_after_s)


def _shown_although_refused(row: Recording, up_to: int) -> bool:
    return row.seq <= up_to and row.link_version > 0 and updater_store.behind(row)


async def _late_or_not(self: PushTickets, ready: object, decision: object) -> None:
    """What a worker sent after its lease was lost leaves nothing."""


_transferred = Conclusions._transferred


async def _into_the_first(self: Conclusions, effective: Sequence[tuple[OpenRequest, CloudsUuid]]) -> None:
    await _transferred(self, [(request, effective[0][1]) for request, _ in effective])


_take_up = FreezeRequests.take_up


async def _as_it_was_sent(self: FreezeRequests, folder: Folder, found: OpenRequest) -> OpenRequest | None:
    return await _take_up(replace(self, capabilities=self.capabilities | {KEYS}), folder, found)


def _nothing_is_left(self: Lane, state: LaneState) -> bool:  # noqa: ARG001
    return False


def _by_offset_alone(self: OwnRecords, batch: memoryview, records: Sequence[Any]) -> OwnBatch | None:  # noqa: ARG001
    [record] = records
    for checksum, one in self._batches.items():
        if (one.partition.partition, one.end) == (record.partition, record.offset + 1):
            del self._batches[checksum]
            return OwnBatch(one.size, one.says, records)
    return None


def _acknowledged_is_enough(self: Announcer, unheard: Mapping[str, object]) -> list[str]:
    of_before = {key: found for key, found in self._published.items() if found[0] == unheard.get(key)}
    self._published = of_before
    return [key for key in unheard if key not in of_before]


def _said_whenever(**of: Any) -> Outgoing:  # noqa: ANN401  # as record_of takes them
    """A folder of which nothing was ever shown has no time of its last push."""
    return record_of(**{**of, "pushed_at": of["pushed_at"] or BEGINNING})


BUGS = (
    Bug(
        "position moved outside the transaction",
        "the fold commits a position, then the rows",
        ((Fold, "_store", _position_first),),
        seeds=5,
        breaks="knows nothing of it",
    ),
    Bug(
        "no version check",
        "cloud_updater takes whichever TicketLinked comes last",
        (
            (updater_store.StoreModel, "new_links", _all_are_news),
            (updater_store, "newer_link", _whatever_comes_last),
        ),
        seeds=5,
        breaks="went back to",
    ),
    Bug(
        "create rebuilt instead of repeated",
        "an upload of unknown outcome goes again as a new request",
        ((FreezeRequests, "take_up", _rebuilt),),
        seeds=60,
        breaks="is in the cloud 2 times",
    ),
    Bug(
        "lease ignored",
        "a folder is pushed by whoever comes, and every worker's outcome counts",
        (
            (updater_store.ClaimsModel, "claim", _claim_what_others_have),
            (updater_store, "_claimable", _is_there),
            (PushesModel, "acknowledged", _whoever_has_it),
        ),
        seeds=40,
        breaks="was taken from the worker that has its lease",
    ),
    Bug(
        "mark before announce",
        "a row counts as announced before Kafka has it",
        ((OnceAnnouncer, "step", _mark_first),),
        seeds=250,
        breaks="is shown as pending for ever",
    ),
    Bug(
        "duty cleared by an acknowledgement",
        "a later success takes back the second push",
        ((PushesModel, "acknowledged", _clear_duties),),
        seeds=60,
        breaks="its newest ticket is",
    ),
    Bug(
        "gate left out",
        "a process acts before it has read its own topic",
        ((Gate, "pass_through", _pass), (Gate, "is_open", True)),
        seeds=350,
        breaks="before it has read what it once did",
    ),
    Bug(
        "request without order",
        "the link request that comes last wins, not the one that was made last",
        ((link_recordings, "decide_link", _in_order_of_arrival),),
        seeds=5,
        breaks="its newest ticket is",
    ),
    Bug(
        "claim not noted",
        "a crash between sending and recording leaves no duty",
        ((ClaimsModel, "note", _note_nothing), (ClaimsModel, "end_claim", _end_what_was_not_noted)),
        seeds=400,
        breaks="its newest ticket is",
    ),
    Bug(
        "acknowledgement taken for announcement",
        "a link or a transfer that Kafka has acknowledged is not published again, whether or not it has come back",
        ((Announcer, "_not_published", _acknowledged_is_enough),),
        seeds=50,
        breaks="never at rest",
    ),
    Bug(
        "own record heard by offset alone",
        "what comes at the place of a record that this process has published counts as that record, whatever it is",
        ((OwnRecords, "take", _by_offset_alone),),
        seeds=200,
        breaks="its newest ticket is",
    ),
    Bug(
        "refused counts as shown",
        "what lies behind the cursor is acknowledged, whether or not it was refused",
        ((updater_store, "shown_up_to", _shown_although_refused), (updater_store, "record_of", _said_whenever)),
        seeds=120,
        breaks="is called in sync, the cloud never saw",
    ),
    Bug(
        "generation ignored",
        "a push that was under way moves the cursor that a forced resync has set back",
        ((PushesModel, "acknowledged", _forget_the_generation),),
        seeds=250,
        breaks="its newest ticket is",
    ),
    Bug(
        "late push not noted",
        "a worker that slept sends when its lease is lost, and nothing is pushed once more after that",
        ((PushTickets, "_came_late", _late_or_not),),
        seeds=400,
        breaks="its newest ticket is",
    ),
    Bug(
        "keys taken back unheard",
        "what went out under a key is repeated although the cloud has said that it honours none any more",
        ((FreezeRequests, "take_up", _as_it_was_sent),),
        seeds=200,
        breaks="is known to honour no keys",
    ),
    Bug(
        "another folder's outcome",
        "of uploads that are recorded together, all count as in the folder of the first",
        ((Conclusions, "_transferred", _into_the_first),),
        seeds=450,
        breaks="is called transferred with",
    ),
    Bug(
        "uploads for a mere look",
        "in an outage of a cloud without keys a real upload is sent each second to see whether it is there",
        ((Lane, "_leaves_traces", _nothing_is_left),),
        seeds=300,
        breaks="for a mere look",
    ),
)


def caught(bug: Bug) -> Found:
    """Run its seeds with it until one breaks the promise that it keeps without the bug."""
    for seed in range(bug.seeds):
        with replaced(*bug.changes):
            run = runs.make(seed)
        if run.violation and bug.breaks in run.violation and not runs.make(seed).violation:
            return Found(bug, seed, run.violation)
    return Found(bug, None, None)


def in_words(found: Found) -> str:
    """One line: the bug, and the first seed that caught it with what it said."""
    by = "NOT CAUGHT" if found.seed is None else f"seed {found.seed}: {found.caught}"
    return f"{found.bug.name} ({found.bug.what}): {by}"
