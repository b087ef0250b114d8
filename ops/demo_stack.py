"""A stack for the demo alone: started as `ticketsync up`, used through `ticketsync` commands, always stopped again.

In: an empty folder. Out: the running stack, driven from outside like any other user would.
Invariant: when the block ends, for whatever reason, `up` has ended too; whoever ran the demo would bear what it left.
"""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from ops.addresses import Addresses, resolve
from ops.exits import Exit, Finding, Unreachable

START_LIMIT_S = 120.0
STOP_LIMIT_S = 20.0
COMMAND_LIMIT_S = 60.0
CLOUD_LIMIT_S = 10.0
BEAT_S = 0.1

TICKETSYNC = str(Path(sys.executable).with_name("ticketsync"))


@dataclass(frozen=True)
class Stack:
    """A running stack."""

    data_dir: Path
    addresses: Addresses
    cloud_token: str

    async def ticketsync(self, *arguments: str) -> Any:  # noqa: ANN401 - whatever JSON the command prints
        """Run a command with --json and return its answer. Raises Finding if it does not end with 0."""
        command = (TICKETSYNC, *arguments, "--json", "--data-dir", str(self.data_dir))
        process = await asyncio.create_subprocess_exec(*command, stdin=DEVNULL, stdout=PIPE, stderr=PIPE)
        try:
            async with asyncio.timeout(COMMAND_LIMIT_S):
                out, err = await process.communicate()
        except TimeoutError:
            raise Finding(f"`ticketsync {' '.join(arguments)}` took more than {COMMAND_LIMIT_S:g} s") from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
        if process.returncode != Exit.OK:
            raise Finding(f"`ticketsync {' '.join(arguments)}` ended with {process.returncode}: {err.decode().strip()}")
        return json.loads(out)

    async def cloud(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - as above
        """Ask or tell the cloud emulator something, on its routes under /emulator. Raises Unreachable."""
        headers = {"Authorization": f"Bearer {self.cloud_token}"}
        url = f"{self.addresses.cloud_url}/emulator/{path}"
        try:
            async with httpx.AsyncClient(headers=headers, timeout=CLOUD_LIMIT_S, trust_env=False) as client:
                return (await client.request(method, url, json=body)).raise_for_status().json()
        except httpx.HTTPError as error:
            raise Unreachable(
                f"the cloud emulator at {url} does not answer ({error or type(error).__name__})"
            ) from None


@asynccontextmanager
async def running_stack(data_dir: Path) -> AsyncIterator[Stack]:
    """Start a stack and stop it at the end of the block. Raises Finding if it does not start or stop."""
    log = data_dir / "up.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            TICKETSYNC, "up", "--data-dir", str(data_dir), stdin=DEVNULL, stdout=output, stderr=output
        )
    try:
        await _ready(process, data_dir / "stack.json", log)
        settings = json.loads(_content(data_dir / "settings.json"))
        yield Stack(data_dir, resolve(data_dir), _content(Path(settings["CLOUDS_TOKEN_FILE"])))
    finally:
        await _stop(process)
    if process.returncode != Exit.OK:
        raise Finding(f"the stack ended with {process.returncode}", todo=f"See {log}")


async def _ready(process: Process, stack_file: Path, log: Path) -> None:
    """Return when `up` has written stack.json. Raises Finding if it ends before, or takes too long."""
    todo = f"See {log.parent / 'logs'}"
    try:
        async with asyncio.timeout(START_LIMIT_S):
            while process.returncode is None:
                if _is_there(stack_file):
                    return
                await asyncio.sleep(BEAT_S)
    except TimeoutError:
        raise Finding(f"the stack was not ready within {START_LIMIT_S:g} s", todo=todo) from None
    raise Finding(f"the stack did not start:\n{_content(log)}", todo=todo)


def _is_there(file: Path) -> bool:
    return file.exists()


def _content(file: Path) -> str:
    return file.read_text(encoding="utf-8", errors="replace").strip()


async def _stop(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOP_LIMIT_S):
            await process.wait()
    except TimeoutError:
        raise Finding(f"the stack (process {process.pid}) did not stop within {STOP_LIMIT_S:g} s") from None
