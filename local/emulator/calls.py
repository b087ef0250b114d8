"""What comes in and what goes out: one call of the contract, its route, and the cloud's answers word for word.

The misspelt messages are the deployed cloud's own. Nothing here touches the folders.
"""

import base64
import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pydantic_core import to_json

from local.emulator.bodies import InvalidBodyError
from local.emulator.settings import Capability

PREFIX = "/api/external/v1"

Route = Literal["ping", "create", "inject", "update_ticket", "delete", "read"]
ROUTES: tuple[Route, ...] = get_args(Route)

_ROUTES: tuple[tuple[str, str, Route, Capability | None], ...] = (
    ("POST", "/recording/update-ticket/", "update_ticket", "ticket-info"),
    ("POST", "/recording/inject/", "inject", None),
    ("DELETE", "/recording/", "delete", None),
    ("GET", "/recording/", "read", "read"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A complete answer of the cloud."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request that reached the application, read to its end; `uuid` is empty where the route has none."""

    path: str
    route: Route
    uuid: str
    body: bytes
    idempotency_key: str | None
    wants_json: bool

    @property
    def digest(self) -> str:
        """What makes a repeated call the same one: its path and every byte of its body."""
        return hashlib.sha256(self.path.encode() + b"\n" + self.body).hexdigest()


def route_of(method: str, path: str, capabilities: Collection[Capability]) -> tuple[Route, str] | None:
    """The route and the folder's uuid named by a decoded path after the prefix; None if the cloud has no such route."""
    match method, path:
        case "POST", "/ping":
            return "ping", ""
        case "POST", "/recording":
            return "create", ""
    for verb, start, route, capability in _ROUTES:
        if method == verb and path.startswith(start) and len(path) > len(start):
            exists = capability is None or capability in capabilities
            return (route, path.removeprefix(start)) if exists else None
    return None


def wants_json(accept: str) -> bool:
    """Whether the cloud answers an invalid body in JSON: the first type accepted must be a JSON type."""
    first = accept.partition(",")[0].lower()
    return "/json" in first or "+json" in first


def json_answer(status: int, content: Any, **headers: str) -> Answer:  # noqa: ANN401 # any JSON value
    """An answer with a JSON body; a header's underscores become hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(status, to_json(content), {"content-type": "application/json", **named})


INVALID = 422
UNKNOWN_ROUTE = 404
BODILESS = (204, 304)

SUCCESS = json_answer(200, {"status": 200, "message": "Successfuly!"})
UNAUTHORISED = json_answer(401, {"status": "unathorized"})
NO_RECORDING = json_answer(400, {"status": 400, "error": "Bad Request", "message": "Recording not found"})
KEY_REUSED = json_answer(422, {"message": "Idempotency-Key reused"})
KEY_IN_USE = json_answer(409, {"message": "Idempotency-Key in use"})
TOO_LARGE = json_answer(413, {"message": "The POST data is too large."})
CRASHED = json_answer(500, {"message": "Server Error"})
DOWN = json_answer(503, {"message": "Service Unavailable"})
TO_THE_START_PAGE = Answer(302, b"Redirecting to /", {"content-type": "text/html; charset=UTF-8", "location": "/"})
START_PAGE = Answer(200, b"<!DOCTYPE html><title>Sign in</title>", {"content-type": "text/html; charset=UTF-8"})


def pong(capabilities: Collection[Capability]) -> Answer:
    """The answer to ping; a cloud without any capability does not mention them."""
    announced = {"capabilities": sorted(capabilities)} if capabilities else {}
    return json_answer(200, {"status": 200, "message": "success", **announced})


def created(uuid: str) -> Answer:
    """The answer to create."""
    return json_answer(200, {"status": 200, "message": "Successfuly!", "data": {"uuid": uuid}})


def unknown_route(path: str) -> Answer:
    """The answer for a path (or a method on it) that the application does not serve."""
    return json_answer(UNKNOWN_ROUTE, {"message": f"The route {path.lstrip('/')} could not be found."})


def too_many(retry_after_s: int) -> Answer:
    """The answer beyond the documented limit of requests."""
    return json_answer(429, {"message": "Too Many Attempts."}, retry_after=str(retry_after_s))


def invalid(error: InvalidBodyError, *, wants_json: bool) -> Answer:
    """The answer to an invalid body: errors for a client that asks for JSON, else the way to the start page."""
    return json_answer(INVALID, {"message": str(error), "errors": error.errors}) if wants_json else TO_THE_START_PAGE


def fresh_uuid(randomness: bytes) -> str:
    """An opaque folder uuid, padded with `=` so that a client that does not percent-encode it is found out."""
    return base64.urlsafe_b64encode(randomness).decode()
