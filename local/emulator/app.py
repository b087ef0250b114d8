"""Puts the emulator together: the contract under its prefix, its OpenAPI document, and the control routes.

This file wires and decides nothing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from local.emulator import calls
from local.emulator.calls import Answer
from local.emulator.cloud import Cloud
from local.emulator.control import Control, OnlyFromHere, not_understood
from local.emulator.endpoint import Endpoint
from local.emulator.journal import Journal
from local.emulator.openapi import document
from local.emulator.settings import Settings
from local.emulator.store import Store
from local.emulator.throttle import Throttle


def build(settings: Settings) -> Starlette:
    """The emulator as an ASGI application, with what an earlier run left in `settings.data_dir`.

    Faults that close connections need the server of `local.emulator.serve`.

    Raises:
        BlockingIOError: another emulator is using the folder.
    """
    journal = Journal(settings.data_dir) if settings.effect_log else None
    store = Store(journal, key_life=timedelta(seconds=settings.key_life_s))
    endpoint = Endpoint(
        Cloud(store, settings.capabilities),
        token=settings.token,
        throttle=Throttle(settings.requests_per_minute),
        body_limit_bytes=settings.body_limit_bytes,
    )

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        endpoint.stop()
        if journal is not None:
            journal.close()

    only_from_here = Middleware(OnlyFromHere, token=settings.token)
    app = Starlette(
        routes=[
            Route("/", _start_page),
            Route("/livez", _ready),
            Route("/readyz", _ready),
            Route("/openapi.json", _openapi),
            Mount("/emulator", routes=Control(endpoint).routes(), middleware=[only_from_here]),
            Mount(calls.PREFIX, app=endpoint),
        ],
        exception_handlers={404: _unknown_route, 405: _unknown_route, ValidationError: not_understood},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # the cloud has no such courtesy
    return app


async def _start_page(_: Request) -> Response:
    return _response(calls.START_PAGE)


async def _ready(_: Request) -> Response:
    return JSONResponse({"status": "ok"})


async def _openapi(_: Request) -> Response:
    return JSONResponse(document())


async def _unknown_route(request: Request, _: Exception) -> Response:
    return _response(calls.unknown_route(request.url.path))


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, answer.headers)
