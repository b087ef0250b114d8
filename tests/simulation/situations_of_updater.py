"""Situations in which one rule of cloud_updater's SQL decides; rules_of_updater.py names the rules."""

from collections.abc import AsyncIterator
from datetime import timedelta

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import TicketSyncRequested
from services.cloud_updater import announce_updates
from services.cloud_updater.claims import Claims
from services.cloud_updater.decisions import MAX_FILES, OpenRequest
from services.cloud_updater.ledgers import Quiet
from services.cloud_updater.pushes import Pushes
from services.cloud_updater.resync_requests import ResyncRequests
from services.cloud_updater.resyncs import Resyncs
from services.cloud_updater.seen_resyncs import ResyncsSeen
from services.cloud_updater.store import Store
from shared.own_records import Skimmed
from tests.simulation import updater_store
from tests.simulation.clock import BEGINNING
from tests.simulation.situations import ONE, OTHER, At, came, linked, over, refused, transferred

QUIET = Quiet(0.2, 2.0)
LEASE_S = 10.0
AT_ONCE = 0.0


async def folder_of_another_worker(at: At) -> AsyncIterator[object]:
    """A worker sleeps through its lease; another has the folder, and the first comes back with its outcome."""
    connection = await at(0)
    await _link(connection, "R1")
    claims, pushes = Claims(connection), Pushes(connection)
    [slow] = await claims.claim(ONE, lease_s=LEASE_S, with_versions=True)
    yield slow
    yield await claims.claim(OTHER, lease_s=LEASE_S, with_versions=True)
    connection = await at(11)
    yield await claims.claim(OTHER, lease_s=LEASE_S, with_versions=True)
    yield await refused(pushes.failed(slow, wait_s=5, message="502"))
    yield await refused(pushes.narrowed(slow, batch_limit=1, message="422"))
    yield await refused(pushes.missing(slow, message="400"))
    yield await pushes.acknowledged([slow], quiet_s=0.2)
    connection = await at(22)
    yield await claims.claim(ONE, lease_s=LEASE_S, with_versions=True)


async def resync_in_a_push(at: At) -> AsyncIterator[object]:
    """Everything is asked for again while a push is under way, which then succeeds."""
    connection = await at(0)
    await _link(connection, "R1")
    [claimed] = await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    await Resyncs(connection).push(_all(force=True), ["U1"])
    yield await Pushes(connection).acknowledged([claimed], quiet_s=0.2)
    yield await Claims(connection).claim(OTHER, lease_s=LEASE_S, with_versions=True)


async def resync_in_an_announcement(at: At) -> AsyncIterator[object]:
    """A folder is set back while what it has acknowledged is published: that is announced once more."""
    connection = await at(0)
    await _link(connection, "R1")
    await _push(connection)
    lot = await over(connection, announce_updates.next_lot, updater_store.next_lot)(connection)
    assert lot
    await Resyncs(connection).push(_all(force=True), ["U1"])
    await _push(connection)
    await lot.mark(connection)
    again = await over(connection, announce_updates.next_lot, updater_store.next_lot)(connection)
    yield again
    assert again
    await again.mark(connection)
    yield await over(connection, announce_updates.next_lot, updater_store.next_lot)(connection)


async def refused_ticket(at: At) -> AsyncIterator[object]:
    """A ticket changes while the cloud refuses the one before; a ticket that was refused; one linked anew after."""
    connection = await at(0)
    for one in ("R1", "R2"):
        await _link(connection, one)
    connection = await at(1)
    [claimed] = await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    await _link(connection, "R1", version=2)
    await Pushes(connection).reject(claimed, {0: "too long", 1: "too long"})
    await Pushes(connection).narrowed(claimed, batch_limit=None, message="422")
    [claimed] = await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    yield claimed
    await Pushes(connection).acknowledged([claimed], quiet_s=AT_ONCE)
    yield await over(connection, announce_updates.next_lot, updater_store.next_lot)(connection)
    await _link(connection, "R2", version=2)
    connection = await at(2)
    [claimed] = await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    yield claimed


async def refused_elsewhere(at: At) -> AsyncIterator[object]:
    """A recording is uploaded anew, elsewhere, while the cloud refuses its ticket in the folder of before."""
    connection = await at(0)
    await _link(connection, "R1")
    [claimed] = await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    await _place(connection, "R1", version=2, uuid="U2")
    await Pushes(connection).reject(claimed, {0: "too long"})
    await Resyncs(connection).push(_all(force=False), ["U2"])
    connection = await at(1)
    yield await Claims(connection).claim(OTHER, lease_s=LEASE_S, with_versions=True)


async def worker_that_died(at: At) -> AsyncIterator[object]:
    """A claim was noted and nobody ended it: its folder waits until its recordings have a duty, which waits too."""
    connection = await at(0)
    await _link(connection, "R1")
    claims = Claims(connection)
    [claimed] = await claims.claim(ONE, lease_s=LEASE_S, with_versions=True)
    await claims.note(claimed)
    connection = await at(5)
    yield await claims.end_claims_of_the_dead(second_push_after_s=60)
    connection = await at(11)
    yield await claims.claim(OTHER, lease_s=LEASE_S, with_versions=True)
    yield await claims.next_due_s()
    yield await claims.end_claims_of_the_dead(second_push_after_s=60)
    again = await claims.claim(OTHER, lease_s=LEASE_S, with_versions=True)
    yield again
    await claims.note(again[0])
    await claims.end_claim(claimed, may_take_effect=False, second_push_after_s=60)
    connection = await at(12)
    yield await claims.due_duties(10)
    connection = await at(72)
    yield await claims.due_duties(10)
    yield await claims.due_duties(10)
    yield await claims.end_claims_of_the_dead(second_push_after_s=60)


async def outcome_known_or_not(at: At) -> AsyncIterator[object]:
    """A claim ends with a definite outcome and leaves nothing; the next ends without one, and leaves a duty."""
    connection = await at(0)
    await _link(connection, "R1")
    claims = Claims(connection)
    for may_take_effect in (False, True):
        [claimed] = await claims.claim(ONE, lease_s=LEASE_S, with_versions=True)
        await claims.note(claimed)
        await claims.end_claim(claimed, may_take_effect=may_take_effect, second_push_after_s=0)
        await Pushes(connection).failed(claimed, wait_s=0, message="502")
        yield await claims.due_duties(10)


async def pushed_once_more(at: At) -> AsyncIterator[object]:
    """What is shown is to be pushed once more: a folder that failed keeps its time, one that is lost is left alone."""
    connection = await at(0)
    for one, uuid in (("R1", "U1"), ("R2", "U2"), ("R3", "U3")):
        await _place(connection, one, uuid=uuid)
        await _link(connection, one, uuid=uuid)
    connection = await at(1)
    found = await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True, limit=3)
    [shown, failed, lost] = sorted(found, key=lambda one: one.clouds_uuid)
    pushes = Pushes(connection)
    await pushes.acknowledged([shown], quiet_s=AT_ONCE)
    await pushes.failed(failed, wait_s=30, message="503")
    await pushes.missing(lost, message="Recording not found")
    connection = await at(2)
    await Resyncs(connection).push_again(["R1", "R2", "R3"])
    yield sorted(
        await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True, limit=3),
        key=lambda one: one.clouds_uuid,
    )
    connection = await at(32)
    yield [
        one.clouds_uuid for one in await Claims(connection).claim(OTHER, lease_s=LEASE_S, with_versions=True, limit=3)
    ]


async def older_facts(at: At) -> AsyncIterator[object]:
    """Of all facts the newer comes first; what was stored already is no news."""
    connection = await at(0)
    await _place(connection, "R1", version=2)
    await _link(connection, "R1", version=5, place=False)
    store = Store(connection)
    yield [await store.acknowledge({"R1": order}) for order in ((2, 3), (1, 9), (2, 3), (2, 4))]
    yield await store.want([came(linked("R1", version=4))], QUIET), await store.place([transferred("R1")], QUIET)
    yield await store.new_links([Skimmed("R1", (order,), "") for order in (4, 5, 6)])
    yield await store.new_transfers([Skimmed("R1", (order,), "") for order in (1, 2, 3)])
    yield await store.new_acknowledgements([Skimmed("R1", order, "") for order in ((1, 9), (2, 4), (2, 5))])
    await _push(connection)
    await _announce(connection)
    yield await store.new_acknowledgements([Skimmed("R1", (2, 5), "")])


async def link_travels_with_the_upload(at: At) -> AsyncIterator[object]:
    """A link is known when the upload that carried it is heard of; one that was never linked owes nothing."""
    connection = await at(0)
    store = Store(connection)
    await _link(connection, "R1", version=3, place=False)
    await _place(connection, "R1", link=3)
    yield await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    await _place(connection, "R1", version=2, link=1)
    connection = await at(1)
    yield await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    await _place(connection, "R2")
    yield await store.new_acknowledgements([Skimmed("R1", (2, 1), "")])


async def folder_of_which_nothing_is_behind(at: At) -> AsyncIterator[object]:
    """A change that the cloud need not be told of moves the cursors, unless something else is still owed."""
    connection = await at(0)
    await _link(connection, "R1")
    await _place(connection, "R2")
    await Store(connection).acknowledge({"R2": (1, 9)})
    yield await Store(connection).want([came(linked("R2"))], QUIET)
    yield await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)


async def folder_gathers(at: At) -> AsyncIterator[object]:
    """A lonely change goes at once; the next waits for quiet; one that failed keeps the time of its next try."""
    connection = await at(0)
    await _place(connection, "R1")
    await _place(connection, "R2")
    for seconds, recording, version in ((10, "R1", 1), (10.1, "R2", 1), (10.2, "R1", 2)):
        connection = await at(seconds)
        await _link(connection, recording, version=version)
        yield await Claims(connection).next_due_s()
    connection = await at(11)
    [claimed] = await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    await Pushes(connection).failed(claimed, wait_s=30, message="503")
    await _link(connection, "R2", version=2)
    yield await Claims(connection).next_due_s()
    await Pushes(connection).retry_now()
    yield await Claims(connection).next_due_s()


async def folder_that_owes_a_full_request(at: At) -> AsyncIterator[object]:
    """It waits for no quiet, whether that much has come or is left; one that owes less does."""
    connection = await at(0)
    store, claims = Store(connection), Claims(connection)
    names = [f"R{number}" for number in range(2 * MAX_FILES + 1)]
    await store.place([transferred(one) for one in names], QUIET)
    for some in (names[: MAX_FILES - 1], names[MAX_FILES - 1 : MAX_FILES], names[MAX_FILES:]):
        await store.want([came(linked(one)) for one in some], QUIET)
        yield await claims.next_due_s()
    for _ in range(2):
        [claimed] = await claims.claim(ONE, lease_s=LEASE_S, with_versions=True)
        await Pushes(connection).acknowledged([claimed], quiet_s=0.2)
        yield len(claimed.files), await claims.next_due_s()
    connection = await at(1)
    [claimed] = await claims.claim(ONE, lease_s=LEASE_S, with_versions=True)
    await Pushes(connection).narrowed(claimed, batch_limit=2, message="413")
    [claimed] = await claims.claim(ONE, lease_s=LEASE_S, with_versions=True)
    await Pushes(connection).acknowledged([claimed], quiet_s=0.2)
    await store.want([came(linked(one, version=2)) for one in names[:4]], QUIET)  # of 4, as the limit is now
    yield await claims.next_due_s()


async def folder_that_owes_several_requests(at: At) -> AsyncIterator[object]:
    """Those that are full go out under one lease, and what the cloud has taken of them counts whatever comes after it,
    but not once the folder was set back."""
    connection = await at(0)
    claims, pushes = Claims(connection), Pushes(connection)
    names = [f"R{number}" for number in range(2 * MAX_FILES + 1)]
    await Store(connection).place([transferred(one) for one in names], QUIET)
    await Store(connection).want([came(linked(one)) for one in names], QUIET)
    for requests in (1, 4):
        [claimed] = await claims.claim(ONE, lease_s=LEASE_S, with_versions=True, requests=requests)
        yield [(one.files, one.up_to_seq, one.full_at, one.attempts) for one in (claimed, *claimed.then)]
        await pushes.failed(claimed, wait_s=0, message="503")
    for set_back in (False, True):
        [claimed] = await claims.claim(ONE, lease_s=LEASE_S, with_versions=True, requests=4)
        if set_back:
            await Resyncs(connection).push(_all(force=True), ["U1"])
        await pushes.arrived(claimed)
        await pushes.failed(claimed, wait_s=0, message="503")
        [claimed] = await claims.claim(ONE, lease_s=LEASE_S, with_versions=True)
        yield claimed.files[0], claimed.attempts
        await pushes.failed(claimed, wait_s=0, message="503")


async def forced_and_linked_anew(at: At) -> AsyncIterator[object]:
    """What was forced and is not pushed yet stays so when it takes another seq; what has no link is not pushed."""
    connection = await at(0)
    await _link(connection, "R1")
    await _place(connection, "R2")
    await _push(connection)
    await _announce(connection)
    await Resyncs(connection).push(_all(force=True), ["U1"])
    [claimed] = await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    yield claimed
    await Pushes(connection).failed(claimed, wait_s=0, message="503")
    await Resyncs(connection).push_again(["R1"])
    await Store(connection).acknowledge({"R1": (1, 9)})
    await _push(connection, files=0)


async def resync_asked_for(at: At) -> AsyncIterator[object]:
    """The same request twice, one that is older than the database, one that waits for its next step."""
    connection = await at(0)
    requests = ResyncRequests(connection)
    yield await requests.receive([(_asked("S1"), BEGINNING), (_asked("S1"), BEGINNING)])
    yield await requests.receive([(_asked("S1"), BEGINNING), (_asked("S2"), BEGINNING - timedelta(seconds=1))])
    [first] = [await requests.next_open()]
    yield first
    assert first
    await requests.progress(first, after_uuid="U1", made_owed=1, wait_s=5)
    yield await requests.next_open()
    connection = await at(6)
    yield await requests.next_open()
    await requests.finish(first)
    yield await requests.next_open()


async def resync_gives_way(at: At) -> AsyncIterator[object]:
    """To what was due when it came; to nothing that is under way; then to what it made owed itself, and to no other."""
    connection = await at(0)
    await _link(connection, "R1")
    connection = await at(5)
    requests, seen = ResyncRequests(connection), ResyncsSeen(connection)
    await requests.receive([(_asked("S1"), BEGINNING)])
    request = await requests.next_open()
    assert request
    yield request.turn_at, await seen.backlog(request.turn_at)
    connection = await at(6)
    await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    yield await ResyncsSeen(connection).backlog(request.turn_at)
    await ResyncRequests(connection).progress(request, after_uuid="U0", made_owed=0, wait_s=0)
    yield (await ResyncRequests(connection).next_open() or request).turn_at
    connection = await at(8)
    await _link(connection, "R2", uuid="U2")
    await ResyncRequests(connection).progress(request, after_uuid="U1", made_owed=1, wait_s=0)
    request = await ResyncRequests(connection).next_open()
    assert request
    yield request.turn_at, await ResyncsSeen(connection).backlog(request.turn_at)
    connection = await at(8.5)
    await _link(connection, "R3", uuid="U3")
    await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    yield await ResyncsSeen(connection).backlog(request.turn_at), await ResyncsSeen(connection).due_folders(limit=9)


async def _place(
    connection: AsyncConnection, recording: str, *, version: int = 1, link: int = 0, uuid: str = "U1"
) -> None:
    """What the fold of RecordingTransferred does."""
    await Store(connection).place([transferred(recording, version=version, link=link, uuid=uuid)], QUIET)


async def _link(
    connection: AsyncConnection, recording: str, *, version: int = 1, uuid: str = "U1", place: bool = True
) -> None:
    """What the fold of TicketLinked does; a recording that is nowhere is put into the folder first, with `place`."""
    if place:
        await _place(connection, recording, uuid=uuid)
    await Store(connection).want([came(linked(recording, version=version, ticket=f"T-{version}"))], QUIET)


async def _push(connection: AsyncConnection, files: int = 1) -> None:
    [claimed] = await Claims(connection).claim(ONE, lease_s=LEASE_S, with_versions=True)
    assert len(claimed.files) >= files
    await Pushes(connection).acknowledged([claimed], quiet_s=AT_ONCE)


async def _announce(connection: AsyncConnection) -> None:
    lot = await over(connection, announce_updates.next_lot, updater_store.next_lot)(connection)
    assert lot
    await lot.mark(connection)


def _all(*, force: bool) -> OpenRequest:
    return OpenRequest(force=force, request_id="S1", after_uuid="", rate_per_minute=None, turn_at=BEGINNING)


def _asked(name: str) -> TicketSyncRequested:
    return TicketSyncRequested(request_id=name, requested_at=BEGINNING, requested_by="ops", all=True)
