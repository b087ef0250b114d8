"""docs/api-linker.md has an example of every route, and of no other, with parameters that the route takes."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from services.linker.app import routes
from services.linker.settings import LinkerSettings
from shared.database import Database
from shared.gate import Gate
from shared.web import build
from tests.linker.running import Linker, no_topics

DOCUMENT = Path(__file__).parents[2] / "docs" / "api-linker.md"
NOWHERE = "postgresql+asyncpg://nobody@nowhere/none"


@pytest.fixture(scope="module")
def described() -> Mapping[str, Any]:
    """The paths of the OpenAPI document; nothing is connected to."""

    async def ready() -> dict[str, object]:
        return {"ready": True}

    settings = LinkerSettings.model_validate({"api_token": "t", "linker_database_url": NOWHERE})
    database = Database(NOWHERE)
    service = Linker(settings, database, Gate(database, [], no_topics))
    own = routes(service, settings)  # type: ignore[arg-type]  # as much of a service as the routes need
    app = build(title="test", api_token="t", router=own, readiness=ready, max_request_bytes=1)
    paths: Mapping[str, Any] = app.openapi()["paths"]
    return paths


def examples() -> list[tuple[str, str, list[str]]]:
    """(method, path, names of the query's parameters) of each command."""
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", DOCUMENT.read_text(), flags=re.DOTALL))
    blocks = re.sub(r"(?m)^(#|export|alias).*$", "", blocks)
    found = []
    for command in re.findall(r"(?m)^(?:api|curl) (?:.|\n(?=  ))*", blocks):
        words = shlex.split(command, comments=True)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        [url] = [word for word in words if word.startswith("$LINKER_URL")]
        address = urlsplit(url.removeprefix("$LINKER_URL"))
        found.append((method, address.path, [name for name, _ in parse_qsl(address.query, strict_parsing=True)]))
    return found


def fits(template: str, path: str) -> bool:
    return bool(re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path))


def test_every_route_has_an_example_and_every_example_a_route(described: Mapping[str, Any]) -> None:
    routes_there = {(method.upper(), path) for path, methods in described.items() for method in methods}
    shown = {
        (method, template)
        for method, path, _ in examples()
        for _, template in sorted(routes_there, key=lambda route: "{" in route[1])
        if fits(template, path)
    }

    assert shown == routes_there


def test_every_example_is_of_a_route_that_takes_its_parameters(described: Mapping[str, Any]) -> None:
    for method, path, parameters in examples():
        [template, *_] = sorted((one for one in described if fits(one, path)), key=lambda one: "{" in one)
        takes = {one["name"] for one in described[template][method.lower()].get("parameters", ())}
        assert set(parameters) <= takes, (method, path)


def test_routes_say_what_they_do_and_which_errors_they_answer(described: Mapping[str, Any]) -> None:
    for path, methods in described.items():
        for method, route in methods.items():
            assert route.get("description"), (method, path)
            if "health" not in route["tags"]:
                assert {"401", "413", "422", "503"} <= set(route["responses"]), (method, path)
