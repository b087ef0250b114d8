"""docs/api-<service>.md has an example of every route, and of no other, with parameters that the route takes."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from tests.security.apis import apis

DOCS = Path(__file__).parents[1] / "docs"
SERVICES = ("linker", "transfer", "cloud_updater")


@pytest.fixture(scope="module")
def documents() -> Mapping[str, Mapping[str, Any]]:
    """The paths of each service's OpenAPI document; nothing is connected to."""
    return {name: app.openapi()["paths"] for name, app in apis().items()}


def examples(service: str) -> list[tuple[str, str, list[str]]]:
    """(method, path, names of the query's parameters) of each command."""
    page = (DOCS / f"api-{service.replace('_', '-')}.md").read_text()
    blocks = "\n".join(re.findall(r"```sh\n(.*?)```", page, flags=re.DOTALL))
    blocks = re.sub(r"(?m)^(#|export|alias).*$", "", blocks)
    base = f"${service.upper()}_URL"
    found = []
    for command in re.findall(r"(?m)^(?:api|curl) (?:.|\n(?=  ))*", blocks):
        words = shlex.split(command, comments=True)
        method = words[words.index("-X") + 1] if "-X" in words else "GET"
        [url] = [word for word in words if word.startswith(base)]
        address = urlsplit(url.removeprefix(base))
        found.append((method, address.path, [name for name, _ in parse_qsl(address.query, strict_parsing=True)]))
    return found


def fits(template: str, path: str) -> bool:
    return bool(re.fullmatch(re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(template)), path))


@pytest.mark.parametrize("service", SERVICES)
def test_every_route_has_an_example_and_every_example_a_route(
    service: str, documents: Mapping[str, Mapping[str, Any]]
) -> None:
    routes_there = {(method.upper(), path) for path, methods in documents[service].items() for method in methods}
    literal_first = sorted(routes_there, key=lambda route: "{" in route[1])
    shown = {
        next((route for route in literal_first if route[0] == method and fits(route[1], path)), (method, path))
        for method, path, _ in examples(service)
    }

    assert shown == routes_there


@pytest.mark.parametrize("service", SERVICES)
def test_every_example_is_of_a_route_that_takes_its_parameters(
    service: str, documents: Mapping[str, Mapping[str, Any]]
) -> None:
    described = documents[service]
    for method, path, parameters in examples(service):
        [template, *_] = sorted((one for one in described if fits(one, path)), key=lambda one: "{" in one)
        takes = {one["name"] for one in described[template][method.lower()].get("parameters", ())}
        assert set(parameters) <= takes, (method, path)


@pytest.mark.parametrize("service", SERVICES)
def test_routes_say_what_they_do_and_which_errors_they_answer(
    service: str, documents: Mapping[str, Mapping[str, Any]]
) -> None:
    for path, methods in documents[service].items():
        for method, route in methods.items():
            assert route.get("description"), (method, path)
            if "health" not in route["tags"]:
                assert {"401", "413", "422", "503"} <= set(route["responses"]), (method, path)
