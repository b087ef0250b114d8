"""`ticketsync pause` and `ticketsync resume`: stop what a service sends to the cloud, and let it go on.

For as long as the cloud is worked on, say. Whoever is asked stores it for all copies of the service and over every
restart; topics are read meanwhile, so when it goes on only the newest is sent.
"""

import asyncio
from enum import StrEnum
from typing import Annotated

import typer

from ops import show
from ops.addresses import Addresses, Service, resolve
from ops.answers.status import LaneState
from ops.exits import WrongInput
from ops.options import By, DataDir, Json
from ops.service_api import api
from ops.who import asks


class Lane(StrEnum):
    """The services that send something to the cloud."""

    TRANSFER = "transfer"
    CLOUD_UPDATER = "cloud-updater"


SERVICE_OF: dict[Lane, Service] = {Lane.TRANSFER: "transfer", Lane.CLOUD_UPDATER: "cloud_updater"}
OfService = Annotated[Lane, typer.Argument(metavar="SERVICE", help="transfer or cloud-updater.")]


def pause(
    service: OfService,
    why: Annotated[str, typer.Option("--why", help="The reason, shown to whoever wonders.", show_default=False)],
    *,
    by: By = None,
    json: Json = False,
    data_dir: DataDir = None,
) -> None:
    """Send nothing to the cloud from this service until it is resumed; what is under way ends as ever."""
    if not why.strip():
        raise WrongInput("--why is empty: give the reason, which is shown to whoever wonders")
    lane = asyncio.run(_post(resolve(data_dir), service, "/lane/pause", by=asks(by), body={"why": why}))
    _show(service, lane, json=json)


def resume(service: OfService, *, by: By = None, json: Json = False, data_dir: DataDir = None) -> None:
    """Let a service that was paused send to the cloud again; one that was not stays as it is."""
    lane = asyncio.run(_post(resolve(data_dir), service, "/lane/resume", by=asks(by), body=None))
    _show(service, lane, json=json)
    if not lane.open:
        show.note("The cloud does not let it through yet; it goes on by itself when it does.")


async def _post(addresses: Addresses, lane: Lane, path: str, *, by: str, body: dict[str, str] | None) -> LaneState:
    async with api(addresses, SERVICE_OF[lane], by=by) as asked:
        return await asked.call("POST", path, LaneState, json=body)


def _show(service: Lane, lane: LaneState, *, json: bool) -> None:
    shown = {"service": service.value, **lane.model_dump()}
    if json:
        show.as_json(shown)
    else:
        show.pairs(shown)
