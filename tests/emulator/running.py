"""A real emulator over real HTTP for tests: in a thread of this process, or as a process that can be killed."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import httpx

from local.emulator.calls import PREFIX
from local.emulator.serve import server
from local.emulator.settings import CAPABILITIES, Settings

TOKEN = "emulator-test-token"
READY_S = 60.0

Json = dict[str, Any]


@dataclass(frozen=True)
class Emulator:
    """What a test does to an emulator: calls of the contract as a good client, and the control routes."""

    url: str
    http: httpx.Client

    @property
    def api(self) -> str:
        return self.url + PREFIX

    def create(self, *files: Json, folder: str = "Monday", key: str | None = None) -> httpx.Response:
        return self.http.post(f"{PREFIX}/recording", json={"folder": folder, "files": files}, headers=_key(key))

    def inject(self, uuid: str, *files: Json, key: str | None = None) -> httpx.Response:
        path = f"{PREFIX}/recording/inject/{quote(uuid, safe='')}"
        return self.http.post(path, json={"files": files}, headers=_key(key))

    def update_ticket(self, uuid: str, *files: Json) -> httpx.Response:
        return self.http.post(f"{PREFIX}/recording/update-ticket/{quote(uuid, safe='')}", json={"files": files})

    def read(self, uuid: str) -> httpx.Response:
        return self.http.get(f"{PREFIX}/recording/{quote(uuid, safe='')}")

    def delete(self, uuid: str) -> httpx.Response:
        return self.http.delete(f"{PREFIX}/recording/{quote(uuid, safe='')}")

    def ping(self) -> httpx.Response:
        return self.http.post(f"{PREFIX}/ping")

    def folder(self, *files: Json, name: str = "Monday") -> str:
        """The uuid of a folder made with these files."""
        return str(self.create(*files, folder=name).raise_for_status().json()["data"]["uuid"])

    def files(self, uuid: str) -> list[Json]:
        """What the cloud has in the folder, whatever its capabilities."""
        folders = self.control("GET", "folders")["folders"]
        return [file for folder in folders if folder["uuid"] == uuid for file in folder["files"]]

    def effects(self, after: int = 0) -> list[Json]:
        """The log from there to its end, page by page."""
        page = self.control("GET", f"effects?after={after}")
        found: list[Json] = page["effects"]
        return found + self.effects(page["next_after"]) if page["next_after"] else found

    def kinds(self, uuid: str | None = None) -> list[str]:
        """What really happened (to one folder), in order, without repeats that were only answered again."""
        really = (effect for effect in self.effects() if not effect["replayed"])
        return [effect["kind"] for effect in really if uuid in (None, effect["uuid"])]

    def wait_until_happened(self, kinds: list[str], uuid: str | None = None) -> None:
        ends_at = time.monotonic() + READY_S
        while self.kinds(uuid) != kinds:
            assert time.monotonic() < ends_at, f"happened: {self.kinds(uuid)}"
            time.sleep(0.01)

    def arm(self, **fault: object) -> None:
        self.control("POST", "faults", fault)

    def control(self, method: str, path: str, content: Mapping[str, object] | None = None) -> Json:
        answer: Json = self.http.request(method, f"/emulator/{path}", json=content).raise_for_status().json()
        return answer

    def wait_until_held(self, count: int = 1) -> None:
        ends_at = time.monotonic() + READY_S
        while self.control("GET", "requests/count")["held"] < count:
            assert time.monotonic() < ends_at, "no request is being held"
            time.sleep(0.01)


@contextmanager
def running_emulator(capabilities: Iterable[str] = CAPABILITIES, **settings: object) -> Iterator[Emulator]:
    """An emulator in a thread, on a free port, stopped at the end."""
    uvicorn_server = server(
        Settings(token=TOKEN, capabilities=frozenset(capabilities), **settings),  # type: ignore[arg-type] # checked there
        host="127.0.0.1",
        port=0,
    )
    thread = threading.Thread(target=uvicorn_server.run, daemon=True)
    thread.start()
    ends_at = time.monotonic() + READY_S
    while not uvicorn_server.started:
        assert thread.is_alive(), "the emulator did not start"
        assert time.monotonic() < ends_at, "the emulator did not start in time"
        time.sleep(0.005)
    port = uvicorn_server.servers[0].sockets[0].getsockname()[1]
    with _client(f"http://127.0.0.1:{port}") as emulator:
        yield emulator
    uvicorn_server.should_exit = True
    thread.join(READY_S)
    assert not thread.is_alive(), "the emulator did not stop"


class EmulatorProcess:
    """An emulator in a process of its own, on one port for all its lives, keeping its log in `data_dir`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        code = "import sys, json; from pathlib import Path; from local.emulator.serve import run; "
        code += "port, data_dir, token = json.loads(sys.argv[1]); run('127.0.0.1', port, token, Path(data_dir))"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, json.dumps([self._port, str(self._data_dir), TOKEN])],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )
        ends_at = time.monotonic() + READY_S
        while True:
            try:
                httpx.get(f"{self.url}/readyz", trust_env=False).raise_for_status()
            except httpx.TransportError:
                assert self._process.poll() is None, "the emulator did not start"
                assert time.monotonic() < ends_at, "the emulator did not start in time"
                time.sleep(0.02)
            else:
                return self

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> int:
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(READY_S)

    @contextmanager
    def client(self) -> Iterator[Emulator]:
        with _client(self.url) as emulator:
            yield emulator


def a_file(filename: str = "a.wav", **fields: object) -> Json:
    """A file of an upload; `ticket_info` and `link_version` among the fields if there is a ticket."""
    return {"filename": filename, "token": 1234, "size": "2.5 MB", "transcribe": "hello", **fields}


def a_ticket(ticket_id: str = "TKT-1", **fields: object) -> Json:
    return {"ticket_id": ticket_id, **fields}


@contextmanager
def _client(url: str) -> Iterator[Emulator]:
    headers = {"authorization": f"Bearer {TOKEN}", "accept": "application/json"}
    with httpx.Client(base_url=url, headers=headers, timeout=10, trust_env=False) as http:
        yield Emulator(url, http)


def _key(key: str | None) -> dict[str, str]:
    return {"idempotency-key": key} if key else {}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
