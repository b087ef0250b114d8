"""The rules of the contract that can be seen from outside, each a function whose docstring is the rule.

In: the application under test. A rule that is broken raises; which optional capabilities a rule needs stands beside it
in `RULES`. Nothing here knows the emulator: the application may be any.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx

from local.emulator.calls import PREFIX
from local.emulator.settings import Capability

Json = dict[str, Any]

_TICKET: Json = {"ticket_id": "TKT-1", "customer_name": "Zoë Müller", "ticket_url": "https://tickets.example.com/1"}


class BrokenRuleError(Exception):
    """The application does something else than the contract says; the message says what."""


@dataclass
class Application:
    """The application under test, and the folders made in it."""

    http: httpx.Client
    made: list[str] = field(default_factory=list)

    def folder(self, *files: Json, key: str | None = None) -> str:
        """The uuid of a new folder with these files."""
        content = self.post("/recording", {"folder": "conformance check", "files": files}, key=key, status=200)
        uuid = content.get("data", {}).get("uuid")
        _must(isinstance(uuid, str) and uuid != "", f"create answered without data.uuid: {content}")
        self.made.append(uuid)
        return str(uuid)

    def post(self, path: str, body: object, *, status: int, key: str | None = None) -> Json:
        """Posts the body and returns the answer, which must have this status and be a JSON object."""
        headers = {"idempotency-key": key} if key else {}
        return _object(self.http.post(PREFIX + path, json=body, headers=headers), status)

    def tickets(self, uuid: str) -> dict[str, Json | None]:
        """The ticket of each file; needs the capability `read`."""
        content = _object(self.http.get(f"{PREFIX}/recording/{quote(uuid, safe='')}"), 200)
        return {file["filename"]: file["ticket_info"] for file in content["data"]["files"]}


def token_is_asked_for(app: Application) -> None:
    """A wrong token is 401 unathorized."""
    answer = app.http.post(f"{PREFIX}/ping", headers={"authorization": "Bearer wrong"})
    _equal(_object(answer, 401), {"status": "unathorized"})


def ping_succeeds(app: Application) -> None:
    """Ping is answered with success."""
    content = app.post("/ping", {}, status=200)
    _equal({name: content.get(name) for name in ("status", "message")}, {"status": 200, "message": "success"})


def folders_take_files(app: Application) -> None:
    """A folder is made, and takes more files by its percent-encoded uuid."""
    uuid = app.folder(_file("a.wav"))
    content = app.post(f"/recording/inject/{quote(uuid, safe='')}", {"files": [_file("b.wav")]}, status=200)
    _equal(content, {"status": 200, "message": "Successfuly!"})


def unknown_folder_is_named(app: Application) -> None:
    """An unknown folder is 400 Recording not found."""
    content = app.post("/recording/inject/bm9ib2R5", {"files": [_file("a.wav")]}, status=400)
    _equal(content, {"status": 400, "error": "Bad Request", "message": "Recording not found"})


def invalid_fields_are_named(app: Application) -> None:
    """An invalid body is 422 with the path of each broken field."""
    body = {"folder": "conformance check", "files": [_file("a.wav"), {**_file("b.wav"), "token": "many", "size": ""}]}
    content = app.post("/recording", body, status=422)
    _equal(sorted(content.get("errors", {})), ["files.1.size", "files.1.token"])


def unknown_route_is_404(app: Application) -> None:
    """An unknown route is 404."""
    app.post("/recording-of-nothing", {}, status=404)


def deleting_twice_succeeds(app: Application) -> None:
    """A folder can be deleted, also one that is gone."""
    path = f"{PREFIX}/recording/{quote(app.folder(_file('a.wav')), safe='')}"
    for _ in range(2):
        _equal(_object(app.http.delete(path), 200), {"status": 200, "message": "Successfuly!"})


def update_needs_a_known_file(app: Application) -> None:
    """update-ticket refuses a filename that the folder does not have, and an unknown folder."""
    files = [_file("a.wav", ticket_info=_TICKET), _file("A.wav", ticket_info=_TICKET)]
    content = app.post(_update_path(app.folder(_file("a.wav"))), {"files": files}, status=422)
    _equal(list(content.get("errors", {})), ["files.1.filename"])
    app.post(_update_path("bm9ib2R5"), {"files": files}, status=400)


def update_states_the_ticket(app: Application) -> None:
    """update-ticket sets a ticket, also twice, and removes it."""
    uuid = app.folder(_file("a.wav"), _file("b.wav", ticket_info=_TICKET))
    for ticket in (_TICKET, _TICKET, None):
        app.post(_update_path(uuid), {"files": [_file("a.wav", ticket_info=ticket)]}, status=200)


def long_fields_are_refused(app: Application) -> None:
    """A ticket field that is too long is refused by its name."""
    files = [_file("a.wav", ticket_info={**_TICKET, "customer_name": "x" * 256})]
    content = app.post(_update_path(app.folder(_file("a.wav"))), {"files": files}, status=422)
    _equal(list(content.get("errors", {})), ["files.0.ticket_info.customer_name"])


def repeat_gets_the_first_answer(app: Application) -> None:
    """A repeated Idempotency-Key gets the first answer again."""
    key = str(uuid4())
    _equal(app.folder(_file("a.wav"), key=key), app.folder(_file("a.wav"), key=key))


def reused_key_is_refused(app: Application) -> None:
    """An Idempotency-Key with another body is refused."""
    key = str(uuid4())
    app.folder(_file("a.wav"), key=key)
    body = {"folder": "conformance check", "files": [_file("b.wav")]}
    _equal(app.post("/recording", body, key=key, status=422), {"message": "Idempotency-Key reused"})


def folder_reads_back(app: Application) -> None:
    """A folder reads back with its tickets."""
    uuid = app.folder(_file("a.wav", ticket_info=_TICKET), _file("b.wav"))
    _equal(app.tickets(uuid), {"a.wav": _TICKET, "b.wav": None})


def repeated_inject_inserts_once(app: Application) -> None:
    """A repeated inject inserts its files once."""
    uuid, key = app.folder(_file("a.wav")), str(uuid4())
    for _ in range(2):
        app.post(f"/recording/inject/{quote(uuid, safe='')}", {"files": [_file("b.wav")]}, key=key, status=200)
    content = _object(app.http.get(f"{PREFIX}/recording/{quote(uuid, safe='')}"), 200)
    _equal(sorted(file["filename"] for file in content["data"]["files"]), ["a.wav", "b.wav"])


def older_version_is_ignored(app: Application) -> None:
    """A lower link_version changes nothing, also after an unlink."""
    uuid = app.folder(_file("a.wav", ticket_info=_TICKET, link_version=2), _file("b.wav"))
    older = [_file(name, ticket_info={"ticket_id": "OLD"}, link_version=1) for name in ("a.wav", "b.wav")]
    unlinked = [_file("b.wav", ticket_info=None, link_version=3)]
    for files in (unlinked, older):
        app.post(_update_path(uuid), {"files": files}, status=200)
    _equal(app.tickets(uuid), {"a.wav": _TICKET, "b.wav": None})


RULES: tuple[tuple[Callable[[Application], None], frozenset[Capability]], ...] = (
    (token_is_asked_for, frozenset()),
    (ping_succeeds, frozenset()),
    (folders_take_files, frozenset()),
    (unknown_folder_is_named, frozenset()),
    (invalid_fields_are_named, frozenset()),
    (unknown_route_is_404, frozenset()),
    (deleting_twice_succeeds, frozenset()),
    (update_needs_a_known_file, frozenset({"ticket-info"})),
    (update_states_the_ticket, frozenset({"ticket-info"})),
    (long_fields_are_refused, frozenset({"ticket-info"})),
    (repeat_gets_the_first_answer, frozenset({"idempotency-key"})),
    (reused_key_is_refused, frozenset({"idempotency-key"})),
    (folder_reads_back, frozenset({"read", "ticket-info"})),
    (repeated_inject_inserts_once, frozenset({"read", "idempotency-key"})),
    (older_version_is_ignored, frozenset({"read", "ticket-info", "link-version"})),
)


def _object(answer: httpx.Response, status: int) -> Json:
    told = f"{answer.request.method} {answer.request.url.path}: expected {status}, got {answer.status_code}"
    _must(answer.status_code == status, f"{told} {answer.text[:200]}")
    try:
        content = answer.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise BrokenRuleError(f"{told}, but no JSON object: {answer.text[:200]}")
    return content


def _equal(found: object, expected: object) -> None:
    _must(found == expected, f"expected {expected}, got {found}")


def _must(kept: bool, otherwise: str) -> None:  # noqa: FBT001 # an assertion
    if not kept:
        raise BrokenRuleError(otherwise)


def _update_path(uuid: str) -> str:
    return f"/recording/update-ticket/{quote(uuid, safe='')}"


def _file(filename: str, **ticket: object) -> Json:
    return {"filename": filename, "size": "1 KB", "token": 3, "transcribe": "one two three", **ticket}
