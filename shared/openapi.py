"""A service's OpenAPI document: its errors as they are really sent, and requests held to it.

FastAPI writes every answer down as application/json; errors are application/problem+json (RFC 9457), and whoever
generates a client from the document would not read them. It also takes query parameters that no document names.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi

PROBLEM_JSON = "application/problem+json"
_PROBLEM = {"$ref": "#/components/schemas/ProblemDetails"}


def describe_problems(app: FastAPI) -> None:
    """Let `app` describe its errors so."""
    as_fastapi_does = app.openapi

    def described() -> dict[str, Any]:
        document = as_fastapi_does()
        for methods in document["paths"].values():
            for route in methods.values():
                for answer in route["responses"].values():
                    _mend(answer)
        return document

    app.openapi = described  # type: ignore[method-assign]  # as FastAPI documents it


def _mend(answer: Mapping[str, Any]) -> None:
    content = answer.get("content", {})
    for media_type in [one for one, described in content.items() if described.get("schema") == _PROBLEM]:
        content[PROBLEM_JSON] = content.pop(media_type)


class DocumentedQuery:
    """Refuses query parameters that the document does not name.

    A condition that is mistyped would be left out, and the list be of everything; dryrun=true would change it all.
    """

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], list[str]] = {}

    async def check(self, request: Request) -> None:
        """A dependency of every route."""
        there, method = request.scope["route"], request.method.lower()
        route = there.path_format, method
        if route not in self._names:
            # Of this route alone: to describe all of them takes half a second, in which nothing else is answered.
            [described] = get_openapi(title="", version="", routes=[there])["paths"].values()
            parameters = described[method].get("parameters", [])
            self._names[route] = [one["name"] for one in parameters if one["in"] == "query"]
        known = self._names[route]
        if unknown := sorted({name for name in request.query_params if name not in known}):
            why = f"is no parameter of this route; it has {', '.join(known) or 'none'}"
            raise RequestValidationError([{"loc": ("query", name[:100]), "msg": why} for name in unknown])
