"""A service's OpenAPI document, with its errors as they are really sent.

FastAPI writes every answer down as application/json; errors are application/problem+json (RFC 9457), and whoever
generates a client from the document would not read them.
"""

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI

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
