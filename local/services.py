"""The three services and the cloud emulator as child processes of the embedded stack.

In: the data folder, their ports, and the names of the settings that they read from DIR/settings.json. Out: a `Program`
each.
"""

import asyncio
import http.client
import os
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

from local.ports import accepts_connections
from local.supervisor import Mark, Program

SERVICES = ("linker", "transfer", "cloud-updater")
EMULATOR = "cloud-emulator"
ANSWER_TIMEOUT_S = 2.0


def service_mark(name: str, folder: Path, port: int) -> Mark:
    """How our process of this name is known; copies that somebody started by hand have another port, and are theirs."""
    return Mark(name, ("run", name, "--data-dir", str(folder), "--port", str(port)))


def service_program(name: str, folder: Path, *, port: int, settings: Collection[str]) -> Program:
    """How a service is started and asked; `settings` names what DIR/settings.json decides, whatever stands around."""

    async def ready() -> bool:
        return await _status(port, "/readyz") == http.HTTPStatus.OK

    async def healthy() -> bool:
        return await _status(port, "/livez") != http.HTTPStatus.SERVICE_UNAVAILABLE

    mark = service_mark(name, folder, port)
    return Program(
        mark=mark,
        command=(_ticketsync(), *mark.arguments, "--migrate"),
        log=folder / "logs" / f"{name}.log",
        ready=ready,
        healthy=healthy,
        environment=_environment_without(settings),
    )


def emulator_program(folder: Path, *, port: int, settings: Collection[str]) -> Program:
    """How the cloud emulator is started; it is ready when it listens, since its answers may be armed faults."""

    async def ready() -> bool:
        return await accepts_connections("127.0.0.1", port)

    mark = service_mark(EMULATOR, folder, port)
    return Program(
        mark=mark,
        command=(_ticketsync(), *mark.arguments),
        log=folder / "logs" / f"{EMULATOR}.log",
        ready=ready,
        environment=_environment_without(settings),
    )


def _ticketsync() -> str:
    return str(Path(sys.executable).with_name("ticketsync"))


def _environment_without(settings: Collection[str]) -> Mapping[str, str]:
    names = {name.removesuffix("_FILE") for name in settings}
    left_out = {*names, *(f"{name}_FILE" for name in names)}
    return {name: value for name, value in os.environ.items() if name not in left_out}


async def _status(port: int, path: str) -> int | None:
    """The HTTP status of a GET on loopback; None if there was no answer in time."""
    try:
        return await asyncio.to_thread(_get_status, port, path)
    except (OSError, http.client.HTTPException):
        return None


def _get_status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_TIMEOUT_S)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()
