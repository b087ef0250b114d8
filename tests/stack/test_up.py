"""`ticketsync up` as its users see it: real processes, signals as a terminal and a system send them."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(600)]

COMMAND = Path(sys.executable).with_name("ticketsync")
READY_TIMEOUT_S = 200
STOPS_WITHIN_S = 15
STARTED_AGAIN_WITHIN_S = 5
CHILDREN = {"kafka", "postgres", "cloud-emulator", "linker", "transfer", "cloud-updater"}
KEYS = {
    "kafka_bootstrap_servers",
    "linker_url",
    "transfer_url",
    "cloud_updater_url",
    "cloud_url",
    "api_token_file",
    "linker_database_url",
    "transfer_database_url",
    "cloud_updater_database_url",
}


class Up:
    """One run of `ticketsync up`, leading a process group of its own as a shell's foreground job does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.output = folder.with_name(f"{folder.name}.output")
        with self.output.open("a") as output:
            self.process = subprocess.Popen(
                [COMMAND, "up", "--data-dir", str(folder)],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def until_ready(self) -> dict[str, str]:
        """What stack.json says once it is there."""
        self.until((self.folder / "stack.json").exists)
        stack: dict[str, str] = json.loads((self.folder / "stack.json").read_text())
        return stack

    def until(self, condition: Callable[[], bool], *, timeout_s: float = READY_TIMEOUT_S) -> None:
        give_up_at = time.monotonic() + timeout_s
        while not condition():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < give_up_at, self.output.read_text()
            time.sleep(0.05)

    def until_it_says(self, text: str) -> None:
        self.until(lambda: text in self.output.read_text())

    def children(self) -> dict[str, psutil.Process]:
        found = {}
        for process in psutil.Process(self.process.pid).children():
            with suppress(psutil.NoSuchProcess):
                command = process.cmdline()
                if not command:  # it has just died
                    continue
                assert any(str(self.folder) in argument for argument in command), command
                name = command[command.index("run") + 1] if "run" in command else Path(process.exe()).name
                found["kafka" if name == "java" else name] = process
        return found

    def stop(self, number: signal.Signals, *, group: bool = False) -> None:
        """Send the signal and hold `up` to its promise."""
        started_at = time.monotonic()
        if group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)
        assert self.process.wait(STOPS_WITHIN_S + 5) == 0, self.output.read_text()
        assert time.monotonic() - started_at < STOPS_WITHIN_S
        assert processes_of(self.folder) == []
        assert not (self.folder / "stack.json").exists()


def kill(up: Up, name: str) -> None:
    """Kill this child and see that `up` does and says what it should."""
    up.until(lambda: set(up.children()) == CHILDREN)
    before = up.children()[name]
    before.kill()

    def is_another() -> bool:
        now = up.children()
        return name in now and now[name].pid != before.pid

    up.until(is_another, timeout_s=STARTED_AGAIN_WITHIN_S)
    assert f"{name} ended (killed by SIGKILL): starting it again" in up.output.read_text()


def processes_of(folder: Path) -> list[str]:
    """The processes that name the folder, and those without a name of it that work in it, such as PostgreSQL's own."""
    return [
        " ".join(process.info["cmdline"])
        for process in psutil.process_iter(["cmdline", "cwd"])
        if any(str(folder) in argument for argument in process.info["cmdline"] or [])
        or Path(process.info["cwd"] or "/").is_relative_to(folder)
    ]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str], Up]]:
    """`start(name)` runs a stack in the folder of that name; nothing of it survives the test."""
    started: list[Up] = []

    def start_in(name: str) -> Up:
        started.append(Up(tmp_path / name))
        return started[-1]

    yield start_in
    for up in started:
        up.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            up.process.wait(STOPS_WITHIN_S)
        up.process.kill()
        up.process.wait()
        for process in psutil.process_iter(["cmdline"]):
            if any(str(up.folder) in argument for argument in process.info["cmdline"] or []):
                process.kill()


def test_a_stack_whose_children_died_stops_on_request_and_goes_on_where_it_was(start: Callable[[str], Up]) -> None:
    up = start("calls of may")
    first = up.until_ready()
    assert set(first) == KEYS
    assert (up.folder / "stack.json").stat().st_mode & 0o777 == 0o600
    ports = json.loads((up.folder / "ports.json").read_text())

    for name in sorted(CHILDREN):
        kill(up, name)
    for name in sorted(CHILDREN):
        up.until_it_says(f"{name} is ready again")
        socket.create_connection(("127.0.0.1", ports[name])).close()
    up.stop(signal.SIGINT, group=True)
    up = start("calls of may")

    assert up.until_ready() == first
    assert set(up.children()) == CHILDREN
    up.stop(signal.SIGTERM)


def test_up_that_was_killed_is_taken_over_and_its_neighbour_notices_nothing(start: Callable[[str], Up]) -> None:
    neighbour = start("neighbour")
    neighbours = neighbour.until_ready()
    killed = start("data")
    first = killed.until_ready()
    assert not set(neighbours.values()) & set(first.values())
    undisturbed = neighbour.children()

    killed.process.kill()
    killed.process.wait()
    assert len(processes_of(killed.folder)) >= len(CHILDREN)
    stack_json = killed.folder / "stack.json"
    left_at = stack_json.stat().st_mtime_ns
    up = start("data")
    up.until(lambda: stack_json.exists() and stack_json.stat().st_mtime_ns != left_at)

    assert up.until_ready() == first
    assert set(up.children()) == CHILDREN
    up.stop(signal.SIGTERM)
    assert neighbour.children() == undisturbed
    neighbour.stop(signal.SIGHUP)


def test_a_folder_has_one_stack_at_a_time(start: Callable[[str], Up]) -> None:
    up = start("data")
    up.until(lambda: bool(processes_of(up.folder / "kafka")))

    second = start("data")

    assert second.process.wait(20) == 1
    assert f"another `ticketsync up` is running on {up.folder}" in second.output.read_text()
    up.stop(signal.SIGINT)
