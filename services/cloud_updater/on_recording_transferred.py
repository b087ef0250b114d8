"""Folds RecordingTransferred: where each recording is in the cloud, and which link travelled there with it.

In: the events of one batch. Out: the file as sent, the recording's folder in the cloud, and its next seq there. A link
that came while the upload was under way is newer than the one that travelled, and so is pushed. A fact that is not
newer than the row changes nothing; a newer one takes the recording off its old folder.
"""

from collections.abc import Collection, Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import RecordingTransferred
from services.cloud_updater.decisions import newest_transfers
from services.cloud_updater.ledgers import Change, Ledgers, Quiet
from services.cloud_updater.store import RecordingRow, Store
from shared.batch import Folded, Incoming
from shared.own_records import Skimmed


async def new_transfers(skimmed: Sequence[Skimmed], connection: AsyncConnection) -> Collection[int]:
    """Those with a version that the recording does not have yet."""
    return await Store(connection).new_transfers(skimmed)


async def fold_recording_transferred(
    batch: Sequence[Incoming[RecordingTransferred]], connection: AsyncConnection, *, quiet: Quiet
) -> Folded:
    """Store what is newer."""
    store = Store(connection)
    rows = await store.lock({incoming.event.recording_id for incoming in batch})

    newer = newest_transfers(
        (incoming.event for incoming in batch), {one: row.transfer_version for one, row in rows.items()}
    )
    if not newer:
        return Folded()

    ledgers = Ledgers(connection)
    await ledgers.open({fact.clouds_uuid: fact.folder_id for fact in newer.values()})
    changes = [Change(one, fact.clouds_uuid, _is_behind(fact, rows[one]), patient=True) for one, fact in newer.items()]
    await store.place(newer.values(), await ledgers.take_seqs(changes, quiet))
    return Folded(newer=len(newer), wake=("push_tickets",) if any(one.behind for one in changes) else ())


def _is_behind(fact: RecordingTransferred, row: RecordingRow) -> bool:
    """Linked, and not with what travelled or is known."""
    known = max((fact.transfer_version, fact.link_version), row.known)
    return row.link_version > 0 and (fact.transfer_version, row.link_version) > known
