"""The parts that the operations of the OpenAPI document share: schemas and refusals.

The schemas of requests come from `bodies`, the example of each answer is the one in `calls`.
"""

from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from local.emulator import bodies, calls
from local.emulator.calls import PREFIX, Answer

Json = dict[str, Any]


def responses() -> Json:
    """The answers other than success, by status."""
    invalid = bodies.InvalidBodyError({"files.0.token": ["The files.0.token field is required."]})
    retry_after: Json = {
        "description": "Seconds, or a date. It may be missing; `retry_after` in the body then says the seconds.",
        "schema": {"type": "string"},
    }
    responses = {
        "400": example("The folder is not there.", calls.NO_RECORDING, "NotFound"),
        "401": example("The token is missing or wrong.", calls.UNAUTHORISED, "Unauthorised"),
        "404": example("There is no such route.", calls.unknown_route(f"{PREFIX}/recordings"), "Message"),
        "409": example("The request under this key is still being worked on.", calls.KEY_IN_USE, "Message"),
        "413": example("The body is too large. Nothing was done.", calls.TOO_LARGE, "Message"),
        "422": example(
            "The body breaks a rule: `errors` says where. Nothing was done. Without `errors`: the Idempotency-Key was "
            "used for another request.",
            calls.invalid(invalid, wants_json=True),
            "Invalid",
        ),
        "429": example("Too many requests. Nothing was done.", calls.too_many(30), "TooMany"),
        "500": example("A crash: the outcome is unknown.", calls.CRASHED, "Message"),
        "503": example("Maintenance or overload. Nothing was done.", calls.DOWN, "Message"),
        "302": {"description": "The body breaks a rule, and the client did not ask for JSON. Nothing was done."},
    }
    responses["429"]["headers"] = responses["503"]["headers"] = {"Retry-After": retry_after}
    responses["302"]["headers"] = {"Location": {"schema": {"const": "/"}}}
    return responses


def schemas() -> Json:
    """The bodies of requests and answers, by name."""
    _, generated = TypeAdapter.json_schemas(
        [(shape, "validation", shape) for shape in (bodies.CREATE, bodies.INJECT, bodies.UPDATE)],
        ref_template="#/components/schemas/{model}",
    )
    text: Json = {"type": "string"}
    number: Json = {"type": "integer"}
    ticket = {"anyOf": [{"$ref": "#/components/schemas/TicketInfo"}, {"type": "null"}]}
    file = _object(filename=text, size=text, token=number, ticket_info=ticket)
    file["properties"]["link_version"] = number
    folder = _object(uuid=text, folder=text, files={"type": "array", "items": file})
    errors = {"type": "object", "additionalProperties": {"type": "array", "items": text}}
    capabilities = {"type": "array", "items": text, "description": "Missing: the application has none."}
    success: dict[str, Json] = {"status": {"const": 200}, "message": {"const": "Successfuly!"}}
    return {
        **generated["$defs"],
        "Folder": _object(data=folder),
        "Pong": {
            **_object(status={"const": 200}, message={"const": "success"}, capabilities=capabilities),
            "required": ["status", "message"],
        },
        "Success": _object(**success),
        "Created": _object(**success, data=_object(uuid=text)),
        "NotFound": _object(status={"const": 400}, error=text, message={"const": "Recording not found"}),
        "Unauthorised": _object(status={"const": "unathorized"}),
        "Message": _object(message=text),
        "Invalid": {**_object(message=text, errors=errors), "required": ["message"]},
        "TooMany": {**_object(message=text, retry_after=number), "required": ["message"]},
    }


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def json_content(schema: str, **beside: Any) -> Json:  # noqa: ANN401 # any JSON value
    """The content of a body in this schema, with what stands beside the schema."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}, **beside}}


def example(description: str, answer: Answer, schema: str) -> Json:
    """A response in this schema, with the answer as its example."""
    return {"description": description, "content": json_content(schema, example=from_json(answer.body))}
