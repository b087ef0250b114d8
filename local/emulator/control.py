"""The emulator's own routes under /emulator, no part of the contract: what happened, and what is to go wrong.

Only for clients on the same machine that know the token; to anybody else these routes do not exist. A body that is not
understood is 422 with `errors`. Answers without other content are `{"ok": true}`.
"""

import hmac
import ipaddress
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route as HttpRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from local.emulator.calls import Route, unknown_route
from local.emulator.cloud import folder_content
from local.emulator.endpoint import Endpoint
from local.emulator.faults import Fault, Moment
from local.emulator.settings import Capability

EFFECTS_PAGE = 10_000

Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Capabilities(_Strict):
    """The capabilities from now on."""

    capabilities: frozenset[Capability]


class Hold(_Strict):
    """A route whose requests are to wait, before their effect or before their answer."""

    route: Route
    moment: Moment = "before_effect"


class Release(_Strict):
    """The route to let go on; None is all."""

    route: Route | None = None


class Limit(_Strict):
    """The limit of requests from now on; None is none."""

    requests_per_minute: Annotated[int, Field(ge=0)] | None


class Page(_Strict):
    """A page of the effect log."""

    after: Annotated[int, Field(ge=0)] = 0
    limit: Annotated[int, Field(ge=1, le=EFFECTS_PAGE)] = EFFECTS_PAGE


class Control:
    """The handlers of the control routes of one endpoint."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def routes(self) -> list[HttpRoute]:
        """The routes, relative to /emulator."""
        return [
            HttpRoute("/effects", self.effects, methods=["GET"]),
            HttpRoute("/folders", self.folders, methods=["GET"]),
            HttpRoute("/requests/count", self.count, methods=["GET"]),
            HttpRoute("/faults", self.armed, methods=["GET"]),
            HttpRoute("/faults", self.arm, methods=["POST"]),
            HttpRoute("/faults", self.disarm, methods=["DELETE"]),
            HttpRoute("/capabilities", self.set_capabilities, methods=["PUT"]),
            HttpRoute("/limit", self.set_limit, methods=["PUT"]),
            HttpRoute("/hold", self.hold, methods=["POST"]),
            HttpRoute("/release", self.release, methods=["POST"]),
            HttpRoute("/down", self.go_down, methods=["POST"]),
            HttpRoute("/up", self.come_up, methods=["POST"]),
            HttpRoute("/wipe", self.wipe, methods=["POST"]),
        ]

    async def effects(self, request: Request) -> Response:
        """Effects with seq above `after`, oldest first; `next_after` asks for the rest, null if there is none."""
        page = Page.model_validate(dict(request.query_params))
        journal = self._endpoint.cloud.store.journal
        lines = journal.page(after=page.after, limit=page.limit) if journal is not None else []
        last = page.after + len(lines)
        more = str(last) if journal is not None and last < journal.last_seq else "null"
        content = b'{"effects":[' + b",".join(lines) + b'],"next_after":' + more.encode() + b"}"
        return Response(content, media_type="application/json")

    async def folders(self, _: Request) -> Response:
        """All folders as `read` would show them."""
        folders = [folder_content(folder) for folder in self._endpoint.cloud.store.folders.values()]
        return Response(to_json({"folders": folders}), media_type="application/json")

    async def count(self, _: Request) -> Response:
        """Requests of the contract so far, and how many are being held."""
        counts = self._endpoint.counts
        return JSONResponse(
            {
                "total": counts.by_route.total(),
                "by_route": counts.by_route,
                "by_status": counts.by_status,
                "held": self._endpoint.holds.waiting.total(),
            }
        )

    async def armed(self, _: Request) -> Response:
        """The faults that were armed, each with the number of requests it has met."""
        faults = [armed.fault.model_dump() | {"taken": armed.taken} for armed in self._endpoint.faults.armed]
        return JSONResponse({"faults": faults})

    async def arm(self, request: Request) -> Response:
        """Arms one fault."""
        self._endpoint.faults.arm(await _body(request, Fault))
        return _ok()

    async def disarm(self, _: Request) -> Response:
        """Clears all faults."""
        self._endpoint.faults.clear()
        return _ok()

    async def set_capabilities(self, request: Request) -> Response:
        """Switches capabilities on and off, until the emulator is started again."""
        self._endpoint.cloud.capabilities = (await _body(request, Capabilities)).capabilities
        return _ok()

    async def set_limit(self, request: Request) -> Response:
        """Sets or lifts the limit of requests a minute."""
        self._endpoint.throttle.requests_per_minute = (await _body(request, Limit)).requests_per_minute
        return _ok()

    async def hold(self, request: Request) -> Response:
        """Holds the requests of a route open from now on."""
        hold = await _body(request, Hold)
        self._endpoint.holds.hold(hold.route, hold.moment)
        return _ok()

    async def release(self, request: Request) -> Response:
        """Lets what is held go on."""
        self._endpoint.holds.release((await _body(request, Release)).route)
        return _ok()

    async def go_down(self, _: Request) -> Response:
        """503 on every route of the contract."""
        self._endpoint.down = True
        return _ok()

    async def come_up(self, _: Request) -> Response:
        """The end of `down`."""
        self._endpoint.down = False
        return _ok()

    async def wipe(self, _: Request) -> Response:
        """As on the first day, the effect log included."""
        self._endpoint.reset()
        return _ok()


class OnlyFromHere:
    """Lets requests through that come from this machine with the token; to all others nothing is there."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app = app
        self._authorization = f"Bearer {token}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, or answers 404."""
        sent = dict(scope["headers"]).get(b"authorization", b"")
        client = scope["client"]
        local = client is not None and ipaddress.ip_address(client[0]).is_loopback
        if local and hmac.compare_digest(sent, self._authorization):
            await self._app(scope, receive, send)
            return
        refusal = unknown_route(scope["path"])
        await Response(refusal.body, refusal.status, refusal.headers)(scope, receive, send)


async def not_understood(_: Request, error: Exception) -> Response:
    """The answer to a control request that is not valid."""
    assert isinstance(error, ValidationError)  # noqa: S101 # registered for this type only
    return JSONResponse({"errors": error.errors(include_url=False, include_context=False)}, status_code=422)


async def _body(request: Request, model: type[Model]) -> Model:
    return model.model_validate_json(await request.body() or b"{}")


def _ok() -> Response:
    return JSONResponse({"ok": True})
