"""The contract as an OpenAPI 3.1 document, for the developers of the cloud application.

The schemas of requests are those the emulator validates with; the words of the answers are those it sends. What a
capability adds says so in `x-capability`. The emulator's control routes are not part of it.
"""

from functools import cache

from local.emulator import calls
from local.emulator.calls import PREFIX
from local.emulator.openapi_components import Json, example, json_content, responses, schemas

_ABOUT = """\
The calls by which call recordings and their help-desk tickets reach the cloud application.

Every request carries `Authorization: Bearer <token>` and should carry `Accept: application/json`: without it an invalid
body is answered by a redirect to `/`. A 503 and a 429 say that nothing was done; after a 500 the outcome is unknown.

What the application does not do today is optional. It announces what it has as `capabilities` in the answer to ping:

* `ticket-info`: the route update-ticket exists, and uploads may carry `ticket_info`.
* `idempotency-key`: create and inject honour the header `Idempotency-Key`.
* `link-version`: a `link_version` lower than the stored one of that file is ignored.
* `read`: a folder can be read back.

The documented limit is 100 requests a minute per token. A folder's uuid is opaque and may hold `=`: percent-encode it.
Filenames are compared exactly.
"""
_TICKET: Json = {
    "ticket_id": "TKT-12345",
    "ticket_url": "https://tickets.example.com/12345",
    "customer_name": "John Doe",
    "agent_name": "Agent Smith",
    "call_intent": "Support Request",
    "call_outcome": "Resolved",
    "display_name": "JohnDoe_TKT12345_20250129",
    "linked_at": "2025-01-29T10:30:00Z",
}
_FILE: Json = {
    "filename": "recording_001.wav",
    "size": "2.5 MB",
    "token": 1234,
    "transcribe": "transcription text...",
}
_UUID = "eyJpZCI6N30="
_UUID_PARAMETER: Json = {"name": "uuid", "in": "path", "required": True, "schema": {"type": "string"}, "example": _UUID}
_KEY_PARAMETER: Json = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "minLength": 1},
    "x-capability": "idempotency-key",
    "description": (
        "Names the request for 24 hours at least. Repeated with the same body: the first answer again, no second "
        "effect. With another body: 422 `Idempotency-Key reused`. While the first is still being worked on: 409. "
        "A request that was refused has had no effect, and its key is free."
    ),
}
_SUCCESS = example("Done.", calls.SUCCESS, "Success")


@cache
def document() -> Json:
    """The whole document; shared, not to be changed."""
    pong = example("It is there, and what it can do.", calls.pong(("ticket-info", "read")), "Pong")
    ping = _operation("ping", "Is the application there, and what can it do?", {"200": pong})
    return {
        "openapi": "3.1.0",
        "info": {"title": "Cloud application: recordings and tickets", "version": "1", "description": _ABOUT},
        "servers": [{"url": PREFIX}],
        "security": [{"token": []}],
        "paths": {"/ping": {"post": ping}, **_uploads(), **_tickets(), **_folders()},
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": schemas(),
            "responses": responses(),
        },
    }


def _uploads() -> Json:
    created = example("The folder, and the uuid by which it is addressed from now on.", calls.created(_UUID), "Created")
    return {
        "/recording": {
            "post": _operation(
                "create",
                "Makes a folder with its first files. With `is_ba_integration` they go to the oldest folder of that "
                "name, if there is one.",
                {"200": created, **_refusals("409", "422")},
                body=("Create", {"folder": "Monday", "files": [_FILE]}),
                parameters=[_KEY_PARAMETER],
            )
        },
        "/recording/inject/{uuid}": {
            "post": _operation(
                "inject",
                "Adds files to a folder. It always inserts: the same file twice is two rows.",
                {"200": _SUCCESS, **_refusals("400", "409", "422")},
                body=("Inject", {"files": [_FILE]}),
                parameters=[_UUID_PARAMETER, _KEY_PARAMETER],
            )
        },
    }


def _tickets() -> Json:
    update = _operation(
        "update_ticket",
        "States the present ticket of each file named: changes its ticket (null removes it) and nothing else of the "
        "file. Sent again it has the same result. Any 2xx is success. A filename that the folder does not have: 422 "
        "with `files.N.filename`, and nothing is changed.",
        {"200": _SUCCESS, **_refusals("400", "422")},
        body=("Update", {"files": [{**_FILE, "ticket_info": _TICKET}]}),
        parameters=[_UUID_PARAMETER],
    )
    return {"/recording/update-ticket/{uuid}": {"post": {**update, "x-capability": "ticket-info"}}}


def _folders() -> Json:
    delete = _operation(
        "delete",
        "Removes a folder; one that is not there is no error.",
        {"200": _SUCCESS},
        parameters=[_UUID_PARAMETER],
    )
    folder = {"description": "The folder.", "content": json_content("Folder")}
    read = _operation(
        "read", "The folder as it is now.", {"200": folder, **_refusals("400")}, parameters=[_UUID_PARAMETER]
    )
    return {"/recording/{uuid}": {"delete": delete, "get": {**read, "x-capability": "read"}}}


def _operation(
    name: str,
    description: str,
    responses: Json,
    *,
    body: tuple[str, Json] | None = None,
    parameters: list[Json] | None = None,
) -> Json:
    operation: Json = {
        "operationId": name,
        "description": description,
        "parameters": parameters or [],
        "responses": {**responses, **_refusals("401", "404", "413", "429", "500", "503")},
    }
    if body:
        operation["requestBody"] = {"required": True, "content": json_content(body[0], example=body[1])}
        operation["responses"]["302"] = {"$ref": "#/components/responses/302"}
    return operation


def _refusals(*statuses: str) -> Json:
    return {status: {"$ref": f"#/components/responses/{status}"} for status in statuses}
