"""Keeps child processes alive: starts them, waits until they are ready, starts them again when they die, stops them.

In: programs, each with its command, its log, and the questions "are you ready?" and "are you well?". Out: lines for a
person, through `say`.
Invariant: after `stop` no process of any program is left. A supervisor that is itself killed with SIGKILL breaks it;
the next one restores it with `stop_leftovers` before it starts anything.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from local.processes import find_processes, kill_group, last_line, spawn, stop_processes

LOOK_EVERY_S = 0.1
START_TIMEOUT_S = 180.0  # a service that dies at its start is given up far sooner
STARTS_TRIED = 5
FIRST_PAUSE_S = 0.25
LONGEST_PAUSE_S = 4.0  # before a child is started again; `up` promises at most 5 seconds
STEADY_AFTER_S = 30.0  # a child that lived so long did not fail at its start: the pauses begin anew
CHECK_HEALTH_EVERY_S = 5.0
UNWELL_TIMES = 3
STOP_PATIENCE_S = 4.5
EX_CONFIG = 78


class NotStartedError(Exception):
    """A program did not become ready; the message names it and its log."""


class MisconfiguredError(NotStartedError):
    """A program refused its settings (exit 78); starting it again would change nothing."""


async def _no_complaint() -> bool:
    return True


@dataclass(frozen=True)
class Mark:
    """How a process of ours is known, also to a later supervisor, and which signal ends it.

    `arguments` is an unbroken run of its command line that no other process has.
    """

    name: str
    arguments: tuple[str, ...]
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass(frozen=True)
class Program:
    """One process to keep alive; `command` holds the arguments of its mark.

    `ready` and `healthy` answer within a few seconds and do not raise. `healthy` is False only if the program itself
    says so: one that does not answer may be paused on purpose, and is left alone.
    """

    mark: Mark
    command: tuple[str, ...]
    log: Path
    ready: Callable[[], Awaitable[bool]]
    healthy: Callable[[], Awaitable[bool]] = _no_complaint
    cwd: Path | None = None
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    @property
    def name(self) -> str:
        """What people call it."""
        return self.mark.name


class Supervisor:
    """Starts groups of programs and keeps them alive until `stop`."""

    def __init__(self, *, say: Callable[[str], None], check_health_every_s: float = CHECK_HEALTH_EVERY_S) -> None:
        self._say = say
        self._check_health_every_s = check_health_every_s
        self._groups: list[tuple[list[_Keeper], float]] = []

    async def start(self, programs: Sequence[Program], *, stop_patience_s: float = STOP_PATIENCE_S) -> None:
        """Start these together and return when all are ready; when stopped, they are killed after `stop_patience_s`.

        Raises NotStartedError, or as one kind of it MisconfiguredError.
        """
        keepers = [_Keeper(program, self._say, self._check_health_every_s) for program in programs]
        self._groups.append((keepers, stop_patience_s))
        give_up_at = time.monotonic() + START_TIMEOUT_S
        while late := [keeper.program for keeper in keepers if not keeper.was_ready]:
            for keeper in keepers:
                if keeper.task.done():
                    await keeper.task  # ends only by an exception
            if time.monotonic() > give_up_at:
                raise NotStartedError(f"{late[0].name} is not ready after {START_TIMEOUT_S:.0f} s, see {late[0].log}")
            await asyncio.sleep(LOOK_EVERY_S)

    async def watch(self) -> None:
        """Never return; raise if the keeping itself fails."""
        await asyncio.gather(*(keeper.task for keepers, _ in self._groups for keeper in keepers))

    async def stop(self) -> None:
        """Stop everything, the group that was started last first."""
        while self._groups:
            keepers, patience_s = self._groups.pop()
            for keeper in keepers:
                keeper.task.cancel()
            await asyncio.gather(*(keeper.task for keeper in keepers), return_exceptions=True)
            stopping = [(keeper.process, keeper.program.mark.stop_signal) for keeper in keepers if keeper.process]
            await asyncio.to_thread(stop_processes, stopping, patience_s=patience_s)


def stop_leftovers(*groups: Sequence[Mark], say: Callable[[str], None]) -> None:
    """Stop what a killed supervisor left running: all of the first group together, then the next."""
    for marks in groups:
        found = [(mark, process) for mark in marks for process in find_processes(mark.arguments)]
        for mark, process in found:
            say(f"{mark.name} (process {process.pid}) still runs from an earlier start: stopping it")
        stop_processes([(process, mark.stop_signal) for mark, process in found], patience_s=STOP_PATIENCE_S)


class _Keeper:
    """Keeps one program alive from the moment it is made."""

    def __init__(self, program: Program, say: Callable[[str], None], check_health_every_s: float) -> None:
        self.program = program
        self.process: psutil.Popen | None = None
        self.was_ready = False
        self._say = say
        self._check_health_every_s = check_health_every_s
        self.task = asyncio.create_task(self._keep_alive())

    async def _keep_alive(self) -> None:
        failed_starts, pause_s = 0, FIRST_PAUSE_S
        while True:
            started_at = time.monotonic()
            self.process = spawn(
                self.program.command,
                log=self.program.log,
                cwd=self.program.cwd,
                environment=self.program.environment,
            )
            exit_code = await self._until_exit(self.process)
            kill_group(self.process.pid)
            if not self.was_ready:
                failed_starts += 1
                self._give_up_if_hopeless(exit_code, failed_starts)
            if time.monotonic() - started_at > STEADY_AFTER_S:
                pause_s = FIRST_PAUSE_S
            self._say(f"{self.program.name} ended ({_how(exit_code)}): starting it again")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _give_up_if_hopeless(self, exit_code: int, failed_starts: int) -> None:
        log = self.program.log
        if exit_code == EX_CONFIG:
            raise MisconfiguredError(f"{self.program.name} refuses its settings: {last_line(log)} ({log})")
        if failed_starts == STARTS_TRIED:
            raise NotStartedError(f"{self.program.name} does not start ({_how(exit_code)}): {last_line(log)} ({log})")

    async def _until_exit(self, process: psutil.Popen) -> int:
        answered, complaints, check_at = False, 0, 0.0
        while (exit_code := process.poll()) is None:
            if not answered:
                answered = await self.program.ready()
                if answered and self.was_ready:
                    self._say(f"{self.program.name} is ready again")
                self.was_ready = self.was_ready or answered
            elif time.monotonic() >= check_at:
                check_at = time.monotonic() + self._check_health_every_s
                complaints = 0 if await self.program.healthy() else complaints + 1
                if complaints == UNWELL_TIMES:
                    self._say(f"{self.program.name} says that it is stuck")
                    process.kill()
            await asyncio.sleep(LOOK_EVERY_S)
        return int(exit_code)


def _how(exit_code: int) -> str:
    return f"exit {exit_code}" if exit_code >= 0 else f"killed by {signal.Signals(-exit_code).name}"
