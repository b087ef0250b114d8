"""Situations in which one rule of transfer's SQL decides; rules_of_transfer.py names the rules."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.fields import CloudsUuid, FolderId, RecordingId
from services.transfer import announce_transfers
from services.transfer.answers import Transferred
from services.transfer.conclusions import Conclusions, End, Verdict
from services.transfer.decisions import Place, newest_of_each
from services.transfer.lost_folders import LostFolders
from services.transfer.lots import FILENAME_TAKEN, Lot, Ready
from services.transfer.operators_word import GIVEN_UP
from services.transfer.requests import OpenRequest, Requests
from services.transfer.store import Store
from services.transfer.transfers import TransferRow, Transfers
from services.transfer.uploads import Folder, Uploads
from tests.simulation import transfer_store
from tests.simulation.clock import BEGINNING
from tests.simulation.situations import ONE, OTHER, At, linked, moment, over, processed, transferred

MONDAY, TUESDAY = FolderId("Monday"), FolderId("Tuesday")
R1, R2, R3 = RecordingId("R1"), RecordingId("R2"), RecordingId("R3")
GRACE = timedelta(seconds=1)
REQUEST = UUID(int=7)


async def older_revision(at: At) -> AsyncIterator[object]:
    """Revision 2 comes before revision 1."""
    connection = await at(0)
    for revision in (2, 1):
        await _process(connection, revision=revision)
    yield await Store(connection).known_recordings([R1])


async def recording_of_before(at: At) -> AsyncIterator[object]:
    """A recording is transferred before it is heard of; one was rejected, one given up, and both have a revision."""
    connection = await at(0)
    await Transfers(connection).put([TransferRow.of(transferred("R1"))])
    await _process(connection, "R1")
    await _process(connection, "R2")
    await _process(connection, "R3")
    await Uploads(connection).reject({R2: "its name is taken", R3: GIVEN_UP})
    yield await Store(connection).folders_not_uploaded([R1])
    yield await Uploads(connection).ready([_folder(5)], grace=GRACE)
    await _process(connection, "R2", revision=2)
    await _process(connection, "R3", revision=2)
    yield await Uploads(connection).ready([_folder(5)], grace=GRACE)


async def older_ticket(at: At) -> AsyncIterator[object]:
    """Version 2 of a link comes before version 1, which has a ticket."""
    store = Store(await at(0))
    await store.put_tickets([linked(version=2, ticket=None)])
    await store.put_tickets([linked(version=1)])
    yield await store.link_versions([R1])
    yield await store.with_ticket([R1])


async def older_transfer(at: At) -> AsyncIterator[object]:
    """Transfer 2 comes before transfer 1; the topic says 1 last."""
    connection = await at(0)
    transfers = Transfers(connection)
    await transfers.put([TransferRow.of(transferred(version=2, uuid="U2"))])
    await transfers.put([TransferRow.of(transferred(version=1, uuid="U1"))])
    yield await transfers.known([R1])
    yield await transfers.hear_newest([(R1, 1)])
    yield await _unheard(connection)
    yield await transfers.hear_newest([(R1, 2)])
    yield await _unheard(connection)
    await transfers.hear({R1: 1})
    yield await _unheard(connection)
    await transfers.hear({R1: 2})
    yield await _unheard(connection)
    await transfers.hear({R1: 1})
    yield await _unheard(connection)
    yield await transfers.hear_newest([(R1, 2), (R2, 1)])
    yield await _unheard(connection)


async def transfer_of_before(at: At) -> AsyncIterator[object]:
    """A folder is to be uploaded again, and the transfer of before is read back."""
    connection = await at(0)
    await _process(connection)
    await Store(connection).look_at({MONDAY: BEGINNING})
    transfers = Transfers(connection)
    await transfers.put([TransferRow.of(transferred(version=1))])
    await transfers.place({MONDAY: Place(CloudsUuid("U1"), BEGINNING)})
    yield await Uploads(connection).ready([_folder(5)], grace=GRACE)
    yield await LostFolders(connection).upload_again(MONDAY, lost=CloudsUuid("U2"))
    yield await LostFolders(connection).upload_again(MONDAY, lost=CloudsUuid("U1"))
    await transfers.put([TransferRow.of(transferred(version=1))])
    yield await Uploads(connection).ready([_folder(5)], grace=GRACE)
    await transfers.put([TransferRow.of(transferred(version=2))])
    yield await Uploads(connection).ready([_folder(5)], grace=GRACE)


async def request_done_in_part(at: At) -> AsyncIterator[object]:
    """An open request has two recordings; the topic says that one of them is transferred, then the other."""
    connection = await at(0)
    await _open_request(connection, "R1", "R2")
    transfers = Transfers(connection)
    for one in (R1, R2):
        await transfers.put([TransferRow.of(transferred(one))])
        yield await transfers.close_proven_requests([one])


async def folders_that_are_due(at: At) -> AsyncIterator[object]:
    """Monday is leased, waits for its next try, is held; Tuesday is due later, and is not to be put off."""
    connection = await at(0)
    uploads, conclusions = Uploads(connection), Conclusions(connection)
    await Store(connection).look_at({MONDAY: BEGINNING})
    await uploads.lease([MONDAY], ONE, lease_s=10)
    yield await uploads.claim(5)
    connection = await at(11)
    yield await uploads.claim(5)
    await conclusions._settle([End(MONDAY, 500, wait_s=10, failed=True)])
    yield await uploads.claim(5)
    yield await uploads.next_due_s()
    connection = await at(22)
    yield await uploads.claim(5)
    await conclusions._settle([End(MONDAY, 500, wait_s=10)])
    await conclusions.retry_now()
    yield await uploads.claim(5)
    await conclusions._settle([End(MONDAY, 500, held="missing_in_cloud")])
    yield await uploads.claim(5)
    await Store(connection).look_at({TUESDAY: moment(30)})
    await Store(connection).look_at({TUESDAY: moment(90)})
    yield await uploads.next_due_s()


async def uploaded_in_part(at: At) -> AsyncIterator[object]:
    """Two recordings wait in Monday. One is transferred, then the other."""
    connection = await at(0)
    for one in (R1, R2):
        await _process(connection, one)
    for one in (R1, R2):
        await Store(connection).look_at({MONDAY: BEGINNING})
        await Transfers(connection).put([TransferRow.of(transferred(one))])
        await Conclusions(connection)._settle([End(MONDAY, 500, done=True)])
        yield await Uploads(connection).claim(5)


async def ready_to_go(at: At) -> AsyncIterator[object]:
    """Of Monday's: one waits for its ticket, one has it, one needs none, one is in an open request, one rejected."""
    connection = await at(0)
    for one in ("R1", "R2", "R3", "R4", "R5"):
        await _process(connection, one, requires_ticket=one != "R3")
    await _process(connection, "R6", requires_ticket=False, folder_id="Tuesday")
    await Store(connection).put_tickets([linked("R2"), linked("R1", ticket=None)])
    await _open_request(connection, "R4")
    uploads = Uploads(connection)
    await uploads.reject({RecordingId("R5"): "too large"})
    yield await _ready(connection, 0)
    yield await _ready(connection, 1)
    yield await uploads.rest([MONDAY, TUESDAY])


async def names_in_the_cloud(at: At) -> AsyncIterator[object]:
    """Monday has R1.wav, and is asked for it and for another name; so is Tuesday, which has neither."""
    connection = await at(0)
    await Transfers(connection).put([TransferRow.of(transferred("R1")), TransferRow.of(transferred("R2"))])
    yield await Uploads(connection).taken_names({(MONDAY, "R1.wav"), (MONDAY, "R3.wav"), (TUESDAY, "R1.wav")})


async def outcome_after_the_end(at: At) -> AsyncIterator[object]:
    """A worker comes back with its outcome: in time, when another has the lease, when the request is closed."""
    connection = await at(0)
    await Store(connection).look_at({MONDAY: BEGINNING})
    request = await _open_request(connection, "R1")
    uploads, conclusions = Uploads(connection), Conclusions(connection)
    done = Verdict(request, Transferred(CloudsUuid("U1"), 500), 500)
    await uploads.lease([MONDAY], ONE, lease_s=10)
    yield len(await conclusions.may_record([(done, ONE)], await conclusions.leases([MONDAY])))
    yield len(await conclusions.may_record([(done, OTHER)], await conclusions.leases([MONDAY])))
    await conclusions._settle([End(MONDAY, 500, held="outcome_unknown")])
    yield (await conclusions.held_request(MONDAY)) is not None
    await conclusions._settle([End(MONDAY, 500, held="missing_in_cloud")])
    yield (await conclusions.held_request(MONDAY)) is not None
    yield len(await conclusions.may_record([(done, ONE)], await conclusions.leases([MONDAY])))
    await Requests(connection).close([request])
    yield len(await conclusions.may_record([(done, ONE)], await conclusions.leases([MONDAY])))


async def refused_after_news(at: At) -> AsyncIterator[object]:
    """The cloud refuses three files; one has a newer revision meanwhile, one a link, one is as it was sent."""
    connection = await at(0)
    uploads = Uploads(connection)
    await Store(connection).look_at({MONDAY: BEGINNING})
    for one in (R1, R2, R3):
        await _process(connection, one)
    ready = await uploads.ready([_folder(5)], grace=GRACE)
    request = await _freeze(connection, ready[MONDAY], seconds=5)
    await _process(connection, R1, revision=2)
    await Store(connection).put_tickets([linked(R2)])
    await Requests(connection).close([request])
    await uploads.reject(dict.fromkeys((R1, R2, R3), "no"), sent=request.files)
    yield await _ready(connection, 5)


async def linked_after_a_refusal(at: At) -> AsyncIterator[object]:
    """One recording was rejected by the cloud, one given up, one has a name that is taken; each gets a link."""
    connection = await at(0)
    uploads = Uploads(connection)
    for one in (R1, R2, R3):
        await _process(connection, one)
    await uploads.reject({R1: "ticket_info: no", R2: GIVEN_UP, R3: FILENAME_TAKEN})
    yield await Store(connection).folders_not_uploaded([R1])
    await Store(connection).try_again({R1, R2, R3})
    yield await _ready(connection, 5)


async def _process(connection: AsyncConnection, recording: str = "R1", **fields: object) -> None:
    fact = processed(recording, **fields)  # type: ignore[arg-type]  # of a fact
    await Store(connection).put_recordings(list(newest_of_each([fact]).values()))


async def _open_request(connection: AsyncConnection, *recordings: str) -> OpenRequest:
    await Store(connection).look_at({MONDAY: BEGINNING})
    files = [Ready(RecordingId(one), "", f"{one}.wav", 1, 1, "words", 1, 0, None, b"1") for one in recordings]
    return await _freeze(connection, files, seconds=0)


async def _freeze(connection: AsyncConnection, files: Sequence[Ready], *, seconds: float) -> OpenRequest:
    lot = Lot("create", None, tuple(files), b"{}", {})
    request = OpenRequest.of(_folder(seconds), lot, request_id=REQUEST, keys_honoured=True)
    await Requests(connection).freeze([request])
    return request


async def _ready(connection: AsyncConnection, seconds: float) -> list[str]:
    ready = await Uploads(connection).ready([_folder(seconds)], grace=GRACE)
    return [one.recording_id for one in ready.get(MONDAY, ())]


def _folder(seconds: float) -> Folder:
    return Folder(
        MONDAY, None, in_cloud=False, has_request=False, failures=0, last_error=None, max_files=500, now=moment(seconds)
    )


async def _unheard(connection: AsyncConnection) -> object:
    return await over(connection, announce_transfers.unheard, transfer_store.unheard)(connection, 10)
