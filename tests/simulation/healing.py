"""After the faults: everything is mended, all work until nothing is left to do, and then every promise must hold."""

import json
from collections.abc import Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import CloudsUuid, FolderId
from services.transfer.conclusions import Conclusions, Verdict
from services.transfer.lost_folders import LostFolders
from services.transfer.lots import MAX_FILES
from services.transfer.operators_word import Unfit, decide_answer
from tests.simulation.cloud import Effect
from tests.simulation.linker_store import LinkerTables
from tests.simulation.oracle import Violation
from tests.simulation.transfer_store import TransferTables
from tests.simulation.updater_store import UpdaterTables, owed
from tests.simulation.world import World

ROUNDS_MAX = 80


def heal(world: World) -> None:
    """Let everything come to rest without faults. Raises Violation if it never does."""
    world.cloud.armed.clear()
    world.cloud.out_until_s = 0.0
    world.broker.failing.clear()
    for database in world.databases.values():
        database.commits_fail.clear()
    for place in reversed(range(len(world.cloud.late))):
        world.cloud.let_through(place)
    for service in world.databases:
        for topic in world.processes[service, 0].folds:
            world.rebalance(service, topic, (0, 0))
    if world.wiped and world.resyncs_forgotten:
        made_at = world.tables("cloud_updater").origin["created_at"]  # by a clock that may have been ahead
        world.advance(max(0.0, (made_at - world.clock.now()).total_seconds()))
        world.resync("after-a-wipe", "all", force=True)  # one that a lost database had taken up is not known any more
    revision = 1_000
    for number in range(ROUNDS_MAX):
        for process in list(world.processes.values()):
            for task in process.tasks.values():
                task.asleep_until_s = 0.0
            world.go(process.service, process.number)
        world.advance(70.0 if number % 4 == 3 else 2.0)
        revision += 1
        if not _help(world, revision) and not unrest(world):
            return
    raise Violation(f"never at rest: {'; '.join(unrest(world))}")


def unrest(world: World) -> list[str]:
    """What is still to be done, in words."""
    linker: LinkerTables = world.tables("linker")
    transfer: TransferTables = world.tables("transfer")
    updater: UpdaterTables = world.tables("cloud_updater")
    found = [
        f"{service} has not read {place}"
        for service, database in world.databases.items()
        for topic in world.processes[service, 0].folds
        for place, end in world.broker.ends({topic}).items()
        if database.tables.position.get((place.topic, place.partition), 0) != end
    ]
    found += [f"{key} sleeps" for key, process in world.processes.items() if process.tasks]
    found += [f"link of {one} not heard" for one in linker.unheard_link]
    found += [f"{one} has arrived" for one in linker.arrival]
    found += [f"request of {one.folder_id} open" for one in transfer.upload_request.values()]
    found += [f"{one} waits for its upload" for one, row in transfer.recording.items() if row.waiting]
    found += [f"transfer of {one} not heard" for one in transfer.unheard_transfer]
    found += [f"duty for {one}" for one in updater.duty]
    found += [f"claim on {one}" for one in updater.claim]
    found += [f"{one} not announced" for one, row in updater.ledger.items() if row.announced_cursor < row.cursor]
    for row in updater.recording.values():
        ledger = updater.ledger.get(row.clouds_uuid or "")
        if ledger and (owed(row, ledger) or row.rejected) and not ledger.missing:
            found.append(f"ticket of {row.recording_id} owed")
    found += [f"resync {one}" for one, request in updater.sync_request.items() if not request.done_at]
    found += [
        f"dead letter of {one.topic} not published"
        for database in world.databases.values()
        for one in database.tables.dead_letter.values()
        if not one.published_at
    ]
    return found


def _help(world: World, revision: int) -> bool:
    """What operators do: answer what is held, send what was lost, mend what was refused. True: something was done."""
    transfer: TransferTables = world.tables("transfer")
    updater: UpdaterTables = world.tables("cloud_updater")
    done = False
    if not world.processes["transfer", 0].gate.is_open or not _catalogue_is_read(world):
        return True  # an operator is asked to come back
    for folder_id, folder in list(transfer.folder.items()):
        present = world.cloud.folders.get(folder.clouds_uuid or "")
        if folder.held == "outcome_unknown":
            _answer(world, folder_id)
            done = True
        elif present and present.lost and not _is_open(transfer, folder_id):
            _upload_again(world, FolderId(folder_id), lost=CloudsUuid(present.uuid))
            done = True
        elif folder.held == "missing_in_cloud":
            raise Violation(f"{folder_id} is called missing, and is not")
    for recording, row in transfer.recording.items():
        if row.rejected:
            world.process(recording, revision)
            done = True
    if any(one.rejected for one in updater.recording.values()) or any(
        one.missing and one.clouds_uuid in _live(world) for one in updater.ledger.values()
    ):
        world.resync(f"mended-{revision}", "all", force=False)
        done = True
    return done


def _catalogue_is_read(world: World) -> bool:
    """Else what is sent again would be without the recordings that a database made anew has not read yet."""
    rows = world.tables("transfer").position
    return all(rows.get(tuple(place), 0) >= end for place, end in world.broker.ends({"RecordingProcessed"}).items())


def _live(world: World) -> set[str]:
    return {one.uuid for one in world.cloud.folders.values() if not one.lost}


def _is_open(transfer: TransferTables, folder_id: str) -> bool:
    return any(one.folder_id == folder_id for one in transfer.upload_request.values())


def _answer(world: World, folder_id: str) -> None:
    """The operator looks into the cloud: the log knows what a request under this key has done."""
    transfer: TransferTables = world.tables("transfer")
    request = next(one for one in transfer.upload_request.values() if one.folder_id == folder_id)
    effects = [one for one in world.cloud.log if one.key == str(request.id)]
    found: Effect | None = effects[0] if effects else None
    conclusion = decide_answer(
        "exists_as" if found else "send_again",
        sent_to=request.clouds_uuid,
        exists_as=CloudsUuid(found.uuid) if found else None,
        recording_ids=tuple(one.recording_id for one in request.files),
    )
    if isinstance(conclusion, Unfit):
        raise Violation(f"an answer does not fit: {conclusion.why}")
    verdict = Verdict(request, conclusion, MAX_FILES)
    _drive(world, lambda connection: Conclusions(connection).record([verdict]))


def _upload_again(world: World, folder_id: FolderId, *, lost: CloudsUuid) -> None:
    _drive(world, lambda connection: LostFolders(connection).upload_again(folder_id, lost=lost))


def _drive(world: World, work: Callable[[AsyncConnection], Awaitable[object]]) -> None:
    """One transaction on transfer's database."""

    async def act() -> None:
        async with world.databases["transfer"].transaction() as connection:
            await work(connection)

    coroutine = act()
    try:
        while True:
            coroutine.send(None)
    except StopIteration:
        pass


def check_promises(world: World) -> None:
    """All four, at rest. Raises Violation."""
    updater: UpdaterTables = world.tables("cloud_updater")
    for recording, (folder, filename) in world.truth.recordings.items():
        rows = [
            file
            for one in world.cloud.folders.values()
            if one.name == folder and not one.lost
            for file in one.files
            if file.filename == filename
        ]
        if not rows:
            raise Violation(f"{recording} is not in the cloud, and nothing says why")
        if len(rows) > world.truth.times_at_most(recording):
            raise Violation(f"{recording} is in the cloud {len(rows)} times")
        wanted = world.truth.ticket_of(recording)
        known = updater.recording.get(recording)
        if known is None or known.clouds_uuid is None:
            raise Violation(f"{recording} is in the cloud, and cloud_updater was never told")
        place = world.cloud.folders[known.clouds_uuid]
        shown = [one.ticket_id for one in place.files if one.filename == filename]
        if wanted not in shown:
            raise Violation(f"{recording} shows {shown}, its newest ticket is {wanted}")
    _all_is_known(world)
    _topics_tell_all(world)
    _replayed(world)


def _all_is_known(world: World) -> None:
    """Operators see every recording as it is, and every record that could not be applied."""
    linker: LinkerTables = world.tables("linker")
    unsaid = world.still_lost("CloudTicketUpdated")
    for recording in world.truth.recordings:
        row, link = linker.recording[recording], linker.link.get(recording)
        newest = (row.transfer_version, link.link_version if link else 0)
        # It is not promised that an acknowledgement which Kafka has lost is published again.
        lost = recording in unsaid and world.lost["CloudTicketUpdated"][recording] == newest
        if newest > row.known and not lost:
            raise Violation(f"{recording} is shown as pending for ever")
    for service, database in world.databases.items():
        told = {
            (
                *((dict(record.headers)[name] or b"").decode() for name in ("topic", "partition", "offset")),
                record.value,
            )
            for place, log in world.broker.logs.items()
            if place.topic == f"{service}.dlq"
            for record in log
        }
        for letter in database.tables.dead_letter.values():
            if (letter.topic, str(letter.partition), str(letter.offset), letter.value) not in told:
                raise Violation(f"a dead letter of {letter.topic} never reached {service}.dlq")


def _topics_tell_all(world: World) -> None:
    """The last word of each topic is what the row says, also if the topic was made anew: the next loss is survived."""
    linker: LinkerTables = world.tables("linker")
    transfer: TransferTables = world.tables("transfer")
    links = {one: row.link_version for one, row in linker.link.items() if row.link_version > 0}
    transfers = {one: row.transfer_version for one, row in transfer.transfer.items()}
    for topic, field, versions in (
        ("TicketLinked", "link_version", links),
        ("RecordingTransferred", "transfer_version", transfers),
    ):
        records = [record for place, log in world.broker.logs.items() if place.topic == topic for record in log]
        last = {(record.key or b"").decode(): json.loads(record.value or b"{}")[field] for record in records}
        if silent := sorted(one for one, version in versions.items() if last.get(one) != version):
            raise Violation(f"{topic} does not say the newest of {silent}")


def _replayed(world: World) -> None:
    """Reading everything again sends nothing."""
    log = len(world.cloud.log)
    for database in world.databases.values():
        database.tables.position = dict.fromkeys(database.tables.position, 0)
    world.wiped = False
    heal(world)
    if len(world.cloud.log) != log:
        raise Violation(f"a replay sent something: {world.cloud.log[log:]}")
