"""The routes that anybody may ask, without a token: does the process live, does it do its work, what does it count.

Nothing in their answers names a recording, a customer or a token.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from fastapi import APIRouter, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.responses import JSONResponse

PATHS = frozenset({"/livez", "/readyz", "/metrics"})

Readiness = Callable[[], Awaitable[Mapping[str, Any]]]


def routes(readiness: Readiness) -> APIRouter:
    """One route for each of PATHS."""
    router = APIRouter(tags=["health"])

    @router.get("/livez")
    async def livez() -> dict[str, str]:
        """The process answers."""
        return {"status": "alive"}

    @router.get("/readyz", responses={503: {"description": "Not ready; the body says why"}})
    async def readyz() -> JSONResponse:
        """Whether the process does its work now, and each thing that this rests on."""
        state = await readiness()
        return JSONResponse(dict(state), status_code=200 if state["ready"] else 503)

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
    )
    async def metrics() -> Response:
        """Prometheus' text format."""
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return router
