"""The HTTP applications of all three services, wired as their `app.py` does; nothing is connected to."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import uvicorn
from fastapi import APIRouter, FastAPI
from pydantic import SecretStr
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import TICKET_LINKED
from services.cloud_updater import api as cloud_updater_api
from services.linker import app as linker_app
from services.linker.settings import LinkerSettings
from services.transfer import api as transfer_api
from shared.cloud import Cloud, CloudSettings, token_reader
from shared.database import Database
from shared.kafka import plain
from shared.lane import Lane
from shared.routes import common
from shared.service import Service
from shared.web import build

NOWHERE = "postgresql+asyncpg://nobody@127.0.0.1:9/none"
TOKEN = "token-of-the-api"


def apis(*, max_request_bytes: int = 1_000) -> Mapping[str, FastAPI]:
    """By the service's name."""
    settings = LinkerSettings.model_validate({"api_token": TOKEN, "linker_database_url": NOWHERE})
    database = Database(NOWHERE)
    cloud_settings = CloudSettings(clouds_url="http://127.0.0.1:9", clouds_token=SecretStr("t"))
    cloud = Cloud(cloud_settings, token=token_reader(cloud_settings))
    lane = Lane(database, cloud, _nothing, wake=lambda: None, ping_every_s=60)
    services = {
        name: Service(
            name, settings, plain("127.0.0.1:9"), database, own_topics=(TICKET_LINKED,), forget_heard=_nothing
        )
        for name in ("linker", "transfer", "cloud_updater")
    }
    routers: dict[str, APIRouter] = {
        "linker": linker_app.routes(services["linker"], settings),
        "transfer": transfer_api.routes(services["transfer"], lane, services["transfer"].gate),
        "cloud_updater": cloud_updater_api.routes(services["cloud_updater"], lane),
    }
    for name in ("transfer", "cloud_updater"):
        routers[name].include_router(common(services[name]))
    return {
        name: build(title=name, api_token=TOKEN, router=router, readiness=_ready, max_request_bytes=max_request_bytes)
        for name, router in routers.items()
    }


@asynccontextmanager
async def listening(app: FastAPI) -> AsyncIterator[int]:
    """`app` on a free port of this machine, as a service's own server runs it."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has no event for it
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await serving


async def _nothing(_: AsyncConnection) -> None:
    return


async def _ready() -> dict[str, object]:
    return {"ready": True}
