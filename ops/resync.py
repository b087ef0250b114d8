"""`ticketsync resync`: asks cloud_updater to look again at some folders, and to push what is not in sync.

In: all, folders or recordings. Out: one TicketSyncRequested, and what it covers, as the linker knows it. With --force
everything selected is pushed, in sync or not. A name that nobody knows is found out here, before anything is published.
"""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import uuid4

import typer
from pydantic import ValidationError

from ops import show
from ops.addresses import Addresses, resolve
from ops.answers import Folder, Recording
from ops.exits import WrongInput
from ops.kafka_access import producer
from ops.lookup import all_folders, one_folder, one_recording
from ops.options import By, DataDir, Json
from ops.service_api import ServiceApi, api
from ops.who import asks
from schemas.envelope import encode
from schemas.events import TicketSyncRequested
from schemas.topics import TICKET_SYNC_REQUESTED
from shared.producer import Outgoing


def resync(
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every folder.")] = False,
    folder: Annotated[
        str | None, typer.Option("--folder", help="One folder, by id or by a unique name.", show_default=False)
    ] = None,
    recording: Annotated[
        list[str] | None, typer.Option("--recording", help="A recording_id; may be repeated.", show_default=False)
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Push also what is in sync.")] = False,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Push again what the cloud should know; exit 1 if the folder or recording is unknown."""
    if everything + (folder is not None) + bool(recording) != 1:
        raise WrongInput("name exactly one of --all, --folder F and --recording R")
    covered = asyncio.run(_resync(resolve(data_dir), folder, recording or [], force=force, by=asks(by)))
    if json:
        show.as_json(covered)
    else:
        show.table(
            ("folder_id", "folder_name", "recordings"),
            [(one["folder_id"], one["folder_name"], one["recordings"]) for one in covered["folders"]],
        )
        show.note(f"Asked for {covered['recordings']:,} recordings; watch: ticketsync status --wait settled")


async def _resync(
    addresses: Addresses, folder: str | None, recordings: list[str], *, force: bool, by: str
) -> dict[str, Any]:
    kafka = addresses.kafka()
    async with api(addresses, "linker") as linker:
        selection, folders = await _select(linker, folder, recordings)
    try:
        request = TicketSyncRequested(
            request_id=str(uuid4()), requested_at=datetime.now(UTC), requested_by=by, force=force, **selection
        )
    except ValidationError as error:
        wrong = error.errors(include_url=False, include_context=False, include_input=False)[0]
        raise WrongInput(f"{'.'.join(map(str, wrong['loc']))}: {wrong['msg']}") from None
    async with producer(kafka) as kafka_producer:
        await kafka_producer.publish([_record(request)])
    return {
        "request_id": request.request_id,
        "force": force,
        "folders": folders,
        "recordings": sum(one["recordings"] for one in folders),
    }


async def _select(
    linker: ServiceApi, folder: str | None, recordings: list[str]
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What the event selects, and the folders it covers with the number of selected recordings in each."""
    if recordings:
        found = [await one_recording(linker, recording) for recording in dict.fromkeys(recordings)]
        return {"recording_ids": tuple(one.recording_id for one in found)}, _by_folder(found)
    if folder is not None:
        one = await one_folder(linker, folder)
        return {"folder_id": one.folder_id}, [_covered(one)]
    return {"all": True}, [_covered(one) for one in await all_folders(linker)]


def _covered(folder: Folder) -> dict[str, Any]:
    return folder.model_dump(include={"folder_id", "folder_name", "recordings", "transferred"})


def _by_folder(recordings: list[Recording]) -> list[dict[str, Any]]:
    counts = Counter((one.folder_id, one.folder_name) for one in recordings)
    transferred = Counter(one.folder_id for one in recordings if one.state != "not_transferred")
    return [
        {"folder_id": folder_id, "folder_name": name, "recordings": count, "transferred": transferred[folder_id]}
        for (folder_id, name), count in counts.items()
    ]


def _record(request: TicketSyncRequested) -> Outgoing:
    encoded = encode(
        request,
        source="ticketsync/resync",
        event_id=request.request_id,
        time=request.requested_at,
        subject=request.request_id,
    )
    return Outgoing(TICKET_SYNC_REQUESTED.name, request.request_id.encode(), encoded.value, encoded.headers)
