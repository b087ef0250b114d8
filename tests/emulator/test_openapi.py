"""The published document says what the emulator does."""

from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema
import pytest

from local.emulator.calls import PREFIX, ROUTES
from local.emulator.openapi import document
from tests.emulator.running import Emulator, a_file, a_ticket


def nodes(node: object) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
        for child in node.values():
            yield from nodes(child)
    elif isinstance(node, list):
        for child in node:
            yield from nodes(child)


def resolved(reference: str) -> dict[str, Any]:
    found: dict[str, Any] = document()
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return found


def schema_of(content: dict[str, Any]) -> dict[str, Any]:
    """A schema that stands by itself: with all components beside it."""
    return {**content["application/json"]["schema"], "components": document()["components"]}


def operations() -> dict[str, dict[str, Any]]:
    return {op["operationId"]: op for path in document()["paths"].values() for op in path.values()}


def test_the_document_is_served_to_anybody(cloud: Emulator) -> None:
    answer = httpx.get(f"{cloud.url}/openapi.json", trust_env=False)

    assert answer.json() == document()
    assert answer.json()["openapi"].startswith("3.1")


def test_every_route_of_the_contract_is_described_and_no_other() -> None:
    assert set(operations()) == set(ROUTES)
    assert {name: op.get("x-capability") for name, op in operations().items() if "x-capability" in op} == {
        "update_ticket": "ticket-info",
        "read": "read",
    }


def test_every_reference_leads_somewhere() -> None:
    references = [node["$ref"] for node in nodes(document()) if "$ref" in node]

    assert references
    assert all(resolved(reference) for reference in references)


def test_every_schema_is_a_schema_and_every_example_fits_it() -> None:
    for schema in document()["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    contents = [node["application/json"] for node in nodes(document()) if "application/json" in node]
    examples = [content for content in contents if "example" in content]
    assert len(examples) > 10
    for content in examples:
        jsonschema.validate(content["example"], schema_of({"application/json": content}))


@pytest.mark.parametrize("field", [{}, {"ticket_info": a_ticket("")}, {"ticket_info": a_ticket(ticket_url="ftp://x")}])
def test_a_body_that_is_refused_does_not_fit_the_published_schema(cloud: Emulator, field: dict[str, Any]) -> None:
    body = {"folder": "F", "files": [a_file(token="no") if not field else a_file(**field)]}

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(body, schema_of(operations()["create"]["requestBody"]["content"]))
    assert cloud.http.post(f"{PREFIX}/recording", json=body).status_code == 422


def test_what_the_emulator_answers_is_what_the_document_says(cloud: Emulator) -> None:
    uuid = cloud.folder(a_file("a.wav", ticket_info=a_ticket("TKT-1"), link_version=1))
    answers = [
        ("ping", cloud.ping()),
        ("create", cloud.create(a_file())),
        ("create", cloud.create(a_file(token="no"))),
        ("create", cloud.create(a_file(), key="k1")),
        ("create", cloud.create(a_file("b.wav"), key="k1")),
        ("inject", cloud.inject(uuid, a_file())),
        ("inject", cloud.inject("nobody", a_file())),
        ("update_ticket", cloud.update_ticket(uuid, a_file(ticket_info=None))),
        ("update_ticket", cloud.update_ticket(uuid, a_file("b.wav", ticket_info=None))),
        ("read", cloud.read(uuid)),
        ("read", cloud.read("nobody")),
        ("delete", cloud.delete(uuid)),
        ("ping", httpx.post(f"{cloud.api}/ping", trust_env=False)),
    ]

    for operation, answer in answers:
        described = operations()[operation]["responses"][str(answer.status_code)]
        response = resolved(described["$ref"]) if "$ref" in described else described
        jsonschema.validate(answer.json(), schema_of(response["content"]))
