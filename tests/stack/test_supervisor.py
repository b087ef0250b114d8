"""The supervisor, with small programs in the place of servers."""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from local.processes import find_processes, spawn
from local.supervisor import Mark, MisconfiguredError, NotStartedError, Program, Supervisor, stop_leftovers

SLEEPS = "import time; print('up', flush=True); time.sleep(600)"
IGNORES_SIGTERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {SLEEPS}"
SAYS_GOODBYE = f"import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit('goodbye')); {SLEEPS}"
HAS_A_CHILD = """
import subprocess, sys
subprocess.run([sys.executable, "-c", "import time; time.sleep(600)", sys.argv[1] + "-child"])
"""


async def yes() -> bool:
    return True


async def no() -> bool:
    return False


class Told(list[str]):
    """What the supervisor said."""

    async def until(self, line: str) -> None:
        async with asyncio.timeout(10):
            while not any(line in said for said in self):  # noqa: ASYNC110 - `say` is a plain function
                await asyncio.sleep(0.02)


def a_program(
    folder: Path,
    code: str,
    *,
    ready: Callable[[], Awaitable[bool]] | None = None,
    healthy: Callable[[], Awaitable[bool]] = yes,
) -> Program:
    mark = Mark("sleeper", (f"mark-{uuid4().hex}",))
    log = folder / f"{mark.arguments[0]}.log"

    async def is_up() -> bool:
        return log.read_text().startswith("up")

    return Program(mark, (sys.executable, "-c", code, *mark.arguments), log, ready=ready or is_up, healthy=healthy)


async def running(program: Program, *, suffix: str = "") -> psutil.Process:
    async with asyncio.timeout(10):
        while not (found := find_processes([program.mark.arguments[0] + suffix])):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
    return found[0]


async def test_a_program_that_dies_is_started_again_and_the_supervisor_says_so(tmp_path: Path) -> None:
    told = Told()
    supervisor = Supervisor(say=told.append)
    program = a_program(tmp_path, SLEEPS)
    await supervisor.start([program])
    first = await running(program)

    first.kill()
    await told.until("sleeper is ready again")

    second = await running(program)
    assert second.pid != first.pid
    assert told == ["sleeper ended (killed by SIGKILL): starting it again", "sleeper is ready again"]
    await supervisor.stop()
    assert find_processes(program.mark.arguments) == []


async def test_a_program_that_does_not_listen_is_killed_with_its_children(tmp_path: Path) -> None:
    supervisor = Supervisor(say=Told().append)
    deaf, parent = a_program(tmp_path, IGNORES_SIGTERM), a_program(tmp_path, HAS_A_CHILD, ready=yes)
    await supervisor.start([deaf, parent], stop_patience_s=0.5)
    await running(parent, suffix="-child")

    started_at = time.monotonic()
    await supervisor.stop()

    assert time.monotonic() - started_at < 3
    assert find_processes(deaf.mark.arguments) == find_processes(parent.mark.arguments) == []
    assert find_processes([f"{parent.mark.arguments[0]}-child"]) == []


async def test_a_paused_program_stops_politely(tmp_path: Path) -> None:
    supervisor = Supervisor(say=Told().append)
    program = a_program(tmp_path, SAYS_GOODBYE)
    await supervisor.start([program])
    (await running(program)).suspend()

    await supervisor.stop()

    assert "goodbye" in program.log.read_text()


async def test_a_program_that_says_it_is_stuck_is_started_again(tmp_path: Path) -> None:
    told = Told()
    supervisor = Supervisor(say=told.append, check_health_every_s=0.05)
    program = a_program(tmp_path, SLEEPS, healthy=no)

    await supervisor.start([program])
    await told.until("sleeper is ready again")

    assert told[:2] == ["sleeper says that it is stuck", "sleeper ended (killed by SIGKILL): starting it again"]
    await supervisor.stop()


async def test_a_program_that_refuses_its_settings_is_not_tried_again(tmp_path: Path) -> None:
    told = Told()
    supervisor = Supervisor(say=told.append)
    program = a_program(tmp_path, "import sys; print('CLOUDS_TOKEN is missing'); sys.exit(78)", ready=no)

    with pytest.raises(MisconfiguredError, match="sleeper refuses its settings: CLOUDS_TOKEN is missing"):
        await supervisor.start([program])

    assert told == []
    await supervisor.stop()


async def test_a_program_that_never_gets_up_is_given_up(tmp_path: Path) -> None:
    told = Told()
    supervisor = Supervisor(say=told.append)

    with pytest.raises(NotStartedError, match=r"sleeper does not start \(exit 3\): it wrote nothing"):
        await supervisor.start([a_program(tmp_path, "import sys; sys.exit(3)", ready=no)])

    assert told == ["sleeper ended (exit 3): starting it again"] * 4
    await supervisor.stop()


def test_what_a_killed_supervisor_left_is_stopped_and_nothing_else(tmp_path: Path) -> None:
    ours, another = a_program(tmp_path, SLEEPS), a_program(tmp_path, SLEEPS)
    left, stranger = (spawn(p.command, log=p.log, cwd=None, environment={}) for p in (ours, another))
    told = Told()

    stop_leftovers([ours.mark], say=told.append)

    assert told == [f"sleeper (process {left.pid}) still runs from an earlier start: stopping it"]
    assert left.wait(1) == -signal.SIGTERM
    assert stranger.is_running()
    stranger.kill()
    stranger.wait(5)
