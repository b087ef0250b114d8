"""The hand-written examples: what publishers copy must be right, and must stay readable."""

import json
from typing import Any

import jsonschema
import pytest

from schemas.envelope import decode
from schemas.events import EVENTS, Event
from schemas.generate import EXAMPLES_DIR, examples, json_file, released_file
from schemas.raw_headers import NO_HEADERS
from schemas.topics import topic_named
from tests.schemas.given import ALL_EXAMPLES, EXAMPLE_IDS, Body, as_json

# Wrong somewhere, or right somewhere: JSON Schema and the models have to agree on each of them in every field.
ODD_VALUES: list[Any] = [
    None,
    0,
    -1,
    2**31,
    2**63,
    1.5,
    True,
    "x",
    "x" * 256,
    "x" * 5000,
    "a\x00b",
    "a\tb",
    [],
    {},
    [7],
]


@pytest.mark.parametrize(("event", "name", "body"), ALL_EXAMPLES, ids=EXAMPLE_IDS)
def test_an_example_is_accepted_by_the_model_and_by_the_json_schemas(event: type[Event], name: str, body: Body) -> None:
    decoded = decode(topic_named(event.__name__), key=a_key(event, body), value=as_json(body), headers=NO_HEADERS)

    assert type(decoded) is event
    assert name
    for schema in (json_file(event), released_file(event)):
        jsonschema.validate(body, json.loads(schema.read_bytes()))


@pytest.mark.parametrize(("event", "name", "body"), ALL_EXAMPLES, ids=EXAMPLE_IDS)
def test_json_schema_and_model_agree_about_odd_values(event: type[Event], name: str, body: Body) -> None:
    validator = jsonschema.Draft202012Validator(json.loads(json_file(event).read_bytes()))

    for field in body:
        if field.endswith("_at"):
            continue  # JSON Schema does not look into formats unless told to
        for value in ODD_VALUES:
            odd = body | {field: value}
            assert validator.is_valid(odd) == reads(event, odd), f"{name}.{field} = {str(value)[:20]}"


def test_every_event_has_examples_and_every_file_belongs_to_an_event() -> None:
    assert all(examples(event) for event in EVENTS)
    assert len(ALL_EXAMPLES) == len(list(EXAMPLES_DIR.iterdir()))


def a_key(event: type[Event], body: Body) -> bytes:
    field = topic_named(event.__name__).key_field
    return str(body[field]).encode() if field else b"any"


def reads(event: type[Event], body: Body) -> bool:
    try:
        event.model_validate_json(as_json(body))
    except ValueError:
        return False
    return True
