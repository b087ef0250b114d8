"""The HTTP side of a service: health, metrics, and what every route of its API shares.

Whatever is asked for but health and metrics wants the bearer token, what does not exist included, and before a byte of
the body is read: a route that is added cannot be left open. Errors are problem details (RFC 9457). Request bodies are
cut off at a limit while they are read, whether or not they said how long they would be. Who may call, and how often:
shared/callers.py.
"""

import time
from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, SecretStr
from sqlalchemy.exc import SQLAlchemyError
from starlette.convertors import PathConvertor, register_url_convertor
from starlette.exceptions import HTTPException as StarletteHTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from schemas.rules import in_words
from shared import health
from shared.callers import Rate, Tokens, token_of
from shared.cursors import UnknownCursor
from shared.database import is_transient
from shared.gate import RETRY_AFTER_S, GateClosed
from shared.openapi import PROBLEM_JSON, DocumentedQuery, describe_problems
from shared.secret_files import rereading

log = structlog.get_logger()

# For the OpenAPI document alone: `Entrance` is what looks at the token.
bearer = HTTPBearer(auto_error=False, description="API_TOKEN of this service")

# What FastAPI makes of a body that breaks its reader instead of being wrong JSON: other encodings, nesting without end.
UNREADABLE_BODY = 400


class Anything(PathConvertor):
    """An id in a path, as in `{recording_id:anything}`; Starlette's own `path` ends at the end of a line."""

    regex = r"[\s\S]*"


register_url_convertor("anything", Anything())


class ProblemDetails(BaseModel):
    """An error as RFC 9457 wants it; `type` is always about:blank, further members say more."""

    model_config = ConfigDict(extra="allow")

    type: str = "about:blank"
    title: str
    status: int
    detail: str


class Problem(HTTPException):
    """Answer with this problem. `more` are further members of its JSON.

    FastAPI makes a 400 of whatever is raised while it reads a JSON body, but for its own kind of exception.
    """

    def __init__(
        self, status: int, title: str, detail: str, *, retry_after_s: int | None = None, **more: object
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.title = title
        self.retry_after_s = retry_after_s
        self.more = more


_RETRY_AFTER = {"Retry-After": {"description": "seconds", "required": True, "schema": {"type": "integer"}}}
PROBLEMS: dict[int | str, dict[str, Any]] = {
    status: {
        "model": ProblemDetails,
        "description": text,
        **({"headers": _RETRY_AFTER} if status in {429, 503} else {}),
    }
    for status, text in {
        401: "No valid token",
        413: "The request is too large",
        422: "The request is not valid; `errors` names the fields",
        429: "Too many requests: try again after Retry-After seconds",
        503: "Not now: try again after Retry-After seconds",
    }.items()
}


def build(
    *,
    title: str,
    api_token: str,
    router: APIRouter,
    readiness: health.Readiness,
    max_request_bytes: int,
    previous_api_token: SecretStr | None = None,
    requests_per_minute: int | None = None,
) -> FastAPI:
    """The application: health and metrics in front of the token, all else behind it. None: no limit."""
    app = FastAPI(title=title, docs_url=None, redoc_url=None)

    checks = [Depends(bearer), Depends(_without_nul), Depends(DocumentedQuery().check)]
    app.include_router(router, dependencies=checks, responses=PROBLEMS)
    app.include_router(health.routes(readiness))
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(GateClosed, _catching_up)
    app.add_exception_handler(UnknownCursor, _no_such_cursor)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(StarletteHTTPException, _plain)
    for kind in (SQLAlchemyError, OSError, TimeoutError):
        app.add_exception_handler(kind, _database_trouble)
    app.add_exception_handler(Exception, _defect)
    describe_problems(app)
    app.add_middleware(LimitedBody, max_bytes=max_request_bytes)
    previous = previous_api_token.get_secret_value() if previous_api_token else ""
    tokens = Tokens([rereading("API_TOKEN", api_token), rereading("API_TOKEN_PREVIOUS", previous)])
    app.add_middleware(Entrance, tokens=tokens, requests_per_minute=requests_per_minute)
    return app


async def _without_nul(request: Request) -> None:
    """PostgreSQL takes no NUL in text, not even to look for it: nothing has it in its name, so nothing is found."""
    if "\x00" in request.scope["path"]:
        raise Problem(404, "Not found", "No name holds a NUL character")
    held = [name for name, value in request.query_params.multi_items() if "\x00" in name + value]
    if held:
        raise RequestValidationError(
            [{"loc": ("query", name), "msg": "Text should not hold a NUL character"} for name in held]
        )


class Entrance:
    """Refuses whoever shows no good token, or calls too often, before anything else looks at the request."""

    def __init__(self, app: ASGIApp, *, tokens: Tokens, requests_per_minute: int | None) -> None:
        self._app = app
        self._tokens = tokens
        self._rate = Rate(requests_per_minute) if requests_per_minute else None
        self._limit = f"At most {requests_per_minute} requests a minute (API_REQUESTS_PER_MINUTE)"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        is_open = scope["type"] == "lifespan" or (scope["type"] == "http" and scope["path"] in health.PATHS)
        problem = None if is_open else self._refusal(HTTPConnection(scope))
        await (self._app if problem is None else _answer(problem))(scope, receive, send)

    def _refusal(self, asked: HTTPConnection) -> Problem | None:
        token = self._tokens.known(token_of(asked.headers.get("authorization", "")))
        address = asked.client.host if asked.client else "unknown"
        caller = f"address {address}" if token is None else f"token {token}"
        if self._rate and (wait_s := self._rate.wait_s(caller, now_s=time.monotonic())):
            return Problem(429, "Too many requests", self._limit, retry_after_s=wait_s)
        if token is None:
            return Problem(401, "Unauthorized", "Present the service's API_TOKEN as a bearer token")
        return None


class LimitedBody:
    """Refuses a request body over the limit while it arrives."""

    def __init__(self, app: ASGIApp, *, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI entry."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        read = 0

        async def limited() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self._max_bytes:
                raise Problem(413, "Request too large", f"At most {self._max_bytes} bytes (API_MAX_REQUEST_BYTES)")
            return message

        return await self._app(scope, limited, send)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Problem)  # noqa: S101  # registered for this type
    return _answer(error)


def _answer(problem: Problem) -> JSONResponse:
    headers = {"Retry-After": str(problem.retry_after_s)} if problem.retry_after_s else {}
    return _details(problem.status, problem.title, problem.detail, headers=headers, **problem.more)


async def _catching_up(_: Request, __: Exception) -> JSONResponse:
    return _details(
        503,
        "Catching up",
        "The service still reads back what its topics hold; try again in a moment",
        headers={"Retry-After": str(RETRY_AFTER_S)},
    )


async def _no_such_cursor(_: Request, __: Exception) -> JSONResponse:
    wrong = "This list has no such cursor; leave it out to begin anew"
    return _details(422, "Invalid request", wrong, errors=[{"field": "query.cursor", "message": wrong}])


async def _invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101  # registered for this type
    errors = [{"field": _field(one), "message": in_words(one["msg"], one.get("ctx", {}))} for one in error.errors()]
    wrong = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    return _details(422, "Invalid request", wrong, errors=errors)


def _field(wrong: Mapping[str, Any]) -> str:
    """What is wrong in the words of the caller; of a body that is no JSON, pydantic names the place of a character."""
    if wrong.get("type") == "json_invalid":
        return "body"
    return ".".join(str(part) for part in wrong["loc"] if part != "body") or "body"


async def _plain(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)  # noqa: S101  # registered for this type
    if error.status_code == UNREADABLE_BODY:
        return await _invalid(
            request, RequestValidationError([{"loc": ("body",), "msg": "The body is not JSON in UTF-8"}])
        )
    return _details(error.status_code, str(error.detail), str(error.detail), headers=error.headers)


async def _database_trouble(request: Request, error: Exception) -> JSONResponse:
    if is_transient(error):
        return _details(
            503, "Not now", "The database cannot be reached; try again in a moment", headers={"Retry-After": "2"}
        )
    return await _defect(request, error)


async def _defect(_: Request, error: Exception) -> JSONResponse:
    log.error("request failed", exc_info=error)
    return _details(500, "Internal error", "This is a defect; the service's log has the details")


def _details(
    status: int, title: str, detail: str, *, headers: Mapping[str, str] | None = None, **more: object
) -> JSONResponse:
    body = ProblemDetails(title=title, status=status, detail=detail, **more)
    return JSONResponse(
        body.model_dump(mode="json"),
        status_code=status,
        headers=dict(headers or {}),
        media_type=PROBLEM_JSON,
    )
