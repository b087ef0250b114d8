"""A released version is a promise: only an added optional field and other words keep it."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from schemas.compatibility import Schema, incompatible_changes
from schemas.events import EVENTS, Event
from schemas.generate import json_schema, released_file

Change = Callable[[Any], object]

A_SCHEMA: Schema = {
    "title": "Thing",
    "$defs": {
        "Ticket": {
            "type": "object",
            "properties": {
                "ticket_id": {"type": "string", "maxLength": 100},
                "url": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
            },
            "required": ["ticket_id"],
        }
    },
    "type": "object",
    "properties": {
        "id": {"type": "string", "minLength": 1, "description": "identity"},
        "token": {"type": "integer", "maximum": 9},
        "source": {"type": "string", "enum": ["api", "event"]},
        "revision": {"type": "integer", "default": 1},
        "ticket": {"anyOf": [{"$ref": "#/$defs/Ticket"}, {"type": "null"}]},
    },
    "required": ["id", "ticket"],
}


def rename(properties: dict[str, Any], before: str, after: str) -> None:
    properties[after] = properties.pop(before)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
def test_the_events_keep_what_was_released(event: type[Event]) -> None:
    released = json.loads(released_file(event).read_bytes())

    assert incompatible_changes(released, json_schema(event)) == [], "give the event a new major version"


@pytest.mark.parametrize(
    "change",
    [
        lambda schema: schema["properties"].update(note={"type": "string"}),
        lambda schema: schema["$defs"]["Ticket"]["properties"].update(note={"type": "string"}),
        lambda schema: schema["properties"]["id"].update(description="in other words", title="Id"),
        lambda schema: schema.update({"title": "Other", "$id": "urn:other", "examples": [1]}),
    ],
)
def test_an_added_optional_field_and_other_words_are_compatible(change: Change) -> None:
    assert incompatible_changes(A_SCHEMA, changed(change)) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (lambda schema: schema["properties"].pop("token"), "token: removed"),
        (lambda schema: rename(schema["properties"], "token", "tokens"), "token: removed"),
        (lambda schema: schema["properties"]["token"].update(type="string"), "token: type was integer, is string"),
        (lambda schema: schema["required"].append("token"), "token: newly required"),
        (lambda schema: schema["required"].remove("id"), "id: no longer required"),
        (
            lambda schema: (schema["properties"].update(note={}), schema["required"].append("note")),
            "note: newly required",
        ),
        (lambda schema: schema["properties"]["token"].update(maximum=5), "token: maximum was 9, is 5"),
        (lambda schema: schema["properties"]["token"].pop("maximum"), "token: maximum was 9, is absent"),
        (lambda schema: schema["properties"]["id"].update(maxLength=50), "id: maxLength was absent, is 50"),
        (
            lambda schema: schema["properties"]["source"]["enum"].remove("api"),
            "source: enum was ['api', 'event'], is ['event']",
        ),
        (lambda schema: schema["properties"]["revision"].update(default=2), "revision: default was 1, is 2"),
        (lambda schema: schema["properties"]["ticket"]["anyOf"].pop(), "ticket: anyOf was"),
        (
            lambda schema: schema["$defs"]["Ticket"]["properties"].pop("url"),
            "ticket.anyOf.0.url: removed",
        ),
        (
            lambda schema: schema["$defs"]["Ticket"]["properties"]["ticket_id"].update(maxLength=99),
            "ticket.anyOf.0.ticket_id: maxLength was 100, is 99",
        ),
        (
            lambda schema: schema["$defs"]["Ticket"]["properties"]["url"].pop("default"),
            "ticket.anyOf.0.url: default was None, is absent",
        ),
    ],
)
def test_anything_else_is_another_version(change: Change, finding: str) -> None:
    found = incompatible_changes(A_SCHEMA, changed(change))

    assert len(found) == 1
    assert found[0].startswith(finding)


def changed(change: Change) -> Schema:
    schema = copy.deepcopy(A_SCHEMA)
    change(schema)
    return schema
