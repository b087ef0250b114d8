"""The cloud application itself: each call of the contract, as a step on the store that cannot be interrupted.

In: a `Call` that has been read to its end. Out: the contract's answer; the effect, if there is one, is in the log
before the answer exists. With no capability it behaves as the deployed application, which knows neither tickets nor
keys. Invariant: a key is in use from `begin` to `end`, so two requests under one key can never both have an effect; a
request that was refused has had none and its key is free again.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

from local.emulator import bodies, calls
from local.emulator.bodies import InvalidBodyError, UpdatedFile, UploadedFile
from local.emulator.calls import Answer, Call, Route
from local.emulator.journal import Effect, FileEffect, Kind
from local.emulator.settings import Capability
from local.emulator.store import Folder, Store


class Cloud:
    """The application over its store; `capabilities` may be changed at any time."""

    def __init__(self, store: Store, capabilities: frozenset[Capability]) -> None:
        self.store = store
        self.capabilities = capabilities
        self._in_use: dict[str, str] = {}

    def begin(self, call: Call) -> Answer | None:
        """Takes the call's Idempotency-Key into use; an answer instead if the key says that nothing is to be done.

        None means: `perform` the call, then `end` it.
        """
        key = self._honoured_key(call)
        if key is None:
            return None
        digest = call.digest
        now = datetime.now(UTC)
        first = self.store.honoured(key, now=now)
        if (first.digest if first else self._in_use.get(key, digest)) != digest:
            return calls.KEY_REUSED
        if first:
            kind: Kind = "create" if call.route == "create" else "inject"
            self.store.record({**_effect(call, kind, first.uuid, now=now), "replayed": True})
            return calls.created(first.uuid) if kind == "create" else calls.SUCCESS
        if key in self._in_use:
            return calls.KEY_IN_USE
        self._in_use[key] = digest
        return None

    def perform(self, call: Call) -> Answer:
        """Validates the call, has its effect and answers it.

        Raises:
            OSError: the effect log cannot be written; there was no effect.
        """
        perform: dict[Route, Callable[[Call], Answer]] = {
            "ping": self._ping,
            "create": self._create,
            "inject": self._inject,
            "update_ticket": self._update_ticket,
            "delete": self._delete,
            "read": self._read,
        }
        try:
            return perform[call.route](call)
        except InvalidBodyError as error:
            return calls.invalid(error, wants_json=call.wants_json)

    def end(self, call: Call) -> None:
        """Gives the key free again that `begin` took."""
        key = self._honoured_key(call)
        if key is not None:
            self._in_use.pop(key, None)

    def wipe(self) -> None:
        """Forgets folders, keys and effects."""
        self.store.wipe()
        self._in_use.clear()

    def _ping(self, _: Call) -> Answer:
        return calls.pong(self.capabilities)

    def _create(self, call: Call) -> Answer:
        known_shape = bodies.CREATE if "ticket-info" in self.capabilities else bodies.DEPLOYED_CREATE
        body = bodies.parse(known_shape, call.body)
        existing = self.store.oldest_named(body["folder"]) if body.get("is_ba_integration") else None
        uuid = existing.uuid if existing else calls.fresh_uuid(os.urandom(16))
        self._record(call, "create", uuid, [_file_effect(file) for file in body["files"]], folder=body["folder"])
        return calls.created(uuid)

    def _inject(self, call: Call) -> Answer:
        known_shape = bodies.INJECT if "ticket-info" in self.capabilities else bodies.DEPLOYED_INJECT
        body = bodies.parse(known_shape, call.body)
        if call.uuid not in self.store.folders:
            return calls.NO_RECORDING
        self._record(call, "inject", call.uuid, [_file_effect(file) for file in body["files"]])
        return calls.SUCCESS

    def _update_ticket(self, call: Call) -> Answer:
        files = bodies.parse(bodies.UPDATE, call.body)["files"]
        folder = self.store.folders.get(call.uuid)
        if folder is None:
            return calls.NO_RECORDING
        if unknown := [position for position, file in enumerate(files) if file["filename"] not in folder.rows]:
            raise bodies.unknown_filenames(unknown)
        outdated = _outdated(folder, files) if "link-version" in self.capabilities else set()
        effects = [_file_effect(file, ignored=position in outdated) for position, file in enumerate(files)]
        self._record(call, "update_ticket", call.uuid, effects)
        return calls.SUCCESS

    def _delete(self, call: Call) -> Answer:
        if call.uuid in self.store.folders:
            self._record(call, "delete", call.uuid, [])
        return calls.SUCCESS

    def _read(self, call: Call) -> Answer:
        folder = self.store.folders.get(call.uuid)
        return calls.json_answer(200, {"data": folder_content(folder)}) if folder else calls.NO_RECORDING

    def _record(self, call: Call, kind: Kind, uuid: str, files: list[FileEffect], *, folder: str | None = None) -> None:
        effect = _effect(call, kind, uuid, now=datetime.now(UTC))
        digest = call.digest if self._honoured_key(call) else None
        self.store.record({**effect, "folder": folder, "files": files, "body_sha256": digest})

    def _honoured_key(self, call: Call) -> str | None:
        honoured = "idempotency-key" in self.capabilities and call.route in ("create", "inject")
        return call.idempotency_key if honoured else None


def folder_content(folder: Folder) -> dict[str, object]:
    """A folder as `read` shows it; `link_version` is left out where none was given."""
    files = []
    for row in folder.files():
        version = {} if row.link_version is None else {"link_version": row.link_version}
        ticket = row.ticket_info
        files.append({"filename": row.filename, "size": row.size, "token": row.token, "ticket_info": ticket, **version})
    return {"uuid": folder.uuid, "folder": folder.name, "files": files}


def _outdated(folder: Folder, files: Sequence[UpdatedFile]) -> set[int]:
    """Positions of files whose link version is lower than the stored one or an earlier one of the same request."""
    outdated, newest = set(), dict[str, int]()
    for position, file in enumerate(files):
        name, version = file["filename"], file.get("link_version")
        known = newest.get(name) or folder.link_version(name)
        if version is not None and version < known:
            outdated.add(position)
        elif version is not None:
            newest[name] = version
    return outdated


def _file_effect(file: UploadedFile | UpdatedFile, *, ignored: bool = False) -> FileEffect:
    ticket = file.get("ticket_info")
    return {
        "filename": file["filename"],
        "size": file["size"],
        "token": file["token"],
        "transcribe_sha256": hashlib.sha256(file["transcribe"].encode()).hexdigest(),
        "has_ticket_info": "ticket_info" in file,
        "ticket_id": ticket["ticket_id"] if ticket else None,
        "ticket_info": ticket,
        "link_version": file.get("link_version"),
        "ignored": ignored,
    }


def _effect(call: Call, kind: Kind, uuid: str, *, now: datetime) -> Effect:
    return {
        "seq": 0,  # given by the store
        "time": now.isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "kind": kind,
        "uuid": uuid,
        "folder": None,
        "idempotency_key": call.idempotency_key,
        "body_sha256": None,
        "status": 200,
        "replayed": False,
        "files": [],
    }
