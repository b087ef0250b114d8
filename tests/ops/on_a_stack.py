"""A whole stack of real processes, and the commands that are told where it is."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import httpx
import psutil
import pytest

from tests.ops.commands import TICKETSYNC, Ended, in_process
from tests.pipeline.running import eventually

READY_WITHIN_S = 240
_numbers = count(1)


class Stack:
    """The commands, each told where the stack is."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir

    def __call__(self, *arguments: object, stdin: str = "") -> Ended:
        return in_process(*arguments, settings={"TICKETSYNC_DATA_DIR": str(self.data_dir)}, stdin=stdin)

    @property
    def addresses(self) -> dict[str, str]:
        addresses: dict[str, str] = json.loads((self.data_dir / "stack.json").read_text())
        token = Path(addresses.pop("api_token_file")).read_text().strip()
        return {**addresses, "api_token": token}

    @property
    def cloud_token(self) -> str:
        return (self.data_dir / "tokens" / "emulator_token").read_text().strip()

    def cloud(self, route: str, body: dict[str, Any]) -> None:
        """Tell the cloud emulator something."""
        url = f"{self.addresses['cloud_url']}/emulator/{route}"
        headers = {"Authorization": f"Bearer {self.cloud_token}"}
        httpx.post(url, json=body, headers=headers, trust_env=False, timeout=10).raise_for_status()

    def restart(self, service: str) -> None:
        """End a service; whoever watches over it starts it again."""
        [before] = self._processes(service)
        before.terminate()
        before.wait(30)
        eventually(lambda: self._processes(service), within_s=60)

    def kill(self, service: str) -> None:
        """With SIGKILL; whoever watches over it starts it again."""
        [before] = self._processes(service)
        before.kill()

    @contextmanager
    def without(self, service: str) -> Iterator[None]:
        """While it has ended, and whoever would start it again is held up."""
        [ended] = self._processes(service)
        watching = ended.parent()
        assert watching
        watching.suspend()
        try:
            ended.kill()
            eventually(lambda: ended.status() == psutil.STATUS_ZOMBIE)
            yield
        finally:
            watching.resume()
        eventually(lambda: self.ready(service), within_s=60)

    def ready(self, service: str) -> bool:
        """Whether it does its work."""
        url = self.addresses[f"{service.replace('-', '_')}_url"]
        try:
            return httpx.get(f"{url}/readyz", trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _processes(self, service: str) -> list[psutil.Process]:
        words = {"run", service, str(self.data_dir)}
        return [one for one in psutil.process_iter(["cmdline"]) if words <= set(one.info["cmdline"] or ())]

    def settle(self) -> None:
        settled = self("status", "--wait", "settled", "--timeout", 60, "--json")
        assert settled.code == 0, (settled.err, settled.out)

    def upload(self, *names: str, requires_ticket: bool = True) -> str:
        """Publish recordings of a new folder, `names` being their filenames, until all are in the cloud."""
        folder = f"folder-{next(_numbers)}"
        self.publish(*(recording(folder, name, requires_ticket) for name in names))
        self.settle()
        return folder

    def publish(self, *events: dict[str, Any]) -> None:
        """Publish recordings, until linker knows them: commands find folders and recordings through it."""
        lines = "".join(json.dumps(one) + "\n" for one in events)
        published = self("publish", "recording-processed", "-", stdin=lines)
        assert published.code == 0, published.err
        for one in events:
            eventually(lambda one=one: self("explain", "--", one["recording_id"]).code == 0)  # type: ignore[misc]

    def about(self, folder: str, name: str) -> dict[str, Any]:
        about: dict[str, Any] = self("status", f"{folder}/{name}", "--json").json
        return about


def recording(folder: str, name: str, requires_ticket: bool) -> dict[str, Any]:  # noqa: FBT001 - a field
    return {
        "recording_id": f"{folder}/{name}",
        "folder_id": folder,
        "folder_name": f"{folder} by name",
        "filename": name,
        "size_bytes": 1,
        "token": 1,
        "transcript": "hello",
        "requires_ticket": requires_ticket,
        "processed_at": "2025-01-29T10:30:00Z",
    }


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(tmp_path_factory.mktemp("stack")) as stack:
        yield stack


@contextmanager
def running(data_dir: Path, *options: str) -> Iterator[Stack]:
    output = data_dir / "up.log"
    with output.open("w") as log:
        process = subprocess.Popen([TICKETSYNC, "up", "--data-dir", data_dir, *options], stdout=log, stderr=log)
    try:
        give_up_at = monotonic() + READY_WITHIN_S
        while not (data_dir / "stack.json").exists():
            assert process.poll() is None, output.read_text()
            assert monotonic() < give_up_at, output.read_text()
            sleep(0.1)
        yield Stack(data_dir)
    finally:
        process.terminate()
        process.wait(20)
