"""Child processes at the level of the operating system: start one, recognise one, stop several within a time limit.

Each child leads a session of its own: a Ctrl-C in the terminal does not reach it, and its process group holds it and
whatever it started, so that nothing of it stays behind when it has ended.
"""

import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

LOG_KEPT_BYTES = 20_000_000
KILL_TAKES_S = 1.0
LAST_LINE_MAX_BYTES = 2_000
LOOK_EVERY_S = 0.02


def spawn(command: Sequence[str], *, log: Path, cwd: Path | None, environment: Mapping[str, str]) -> psutil.Popen:
    """Start `command`, its output appended to `log`, which is put aside first if it has grown large."""
    if log.exists() and log.stat().st_size > LOG_KEPT_BYTES:
        log.replace(log.with_suffix(".old.log"))
    with log.open("ab") as output:
        return psutil.Popen(
            command,
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def last_line(log: Path) -> str:
    """What a program wrote last."""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_LINE_MAX_BYTES))
        lines = file.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "it wrote nothing")


def find_processes(arguments: Sequence[str]) -> list[psutil.Process]:
    """All processes whose command line holds `arguments` as an unbroken run, this process excepted."""
    wanted = list(arguments)
    found = []
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []  # None: gone, or not ours to see
        starts = range(len(command) - len(wanted) + 1)
        if process.pid != os.getpid() and any(command[at : at + len(wanted)] == wanted for at in starts):
            found.append(process)
    return found


def stop_processes(stopping: Sequence[tuple[psutil.Process, signal.Signals]], *, patience_s: float) -> None:
    """End these processes and their groups: each by its own signal, after `patience_s` seconds by SIGKILL."""
    processes = [process for process, _ in stopping]
    for process, stop_signal in stopping:
        with suppress(psutil.NoSuchProcess):
            process.send_signal(stop_signal)
            process.send_signal(signal.SIGCONT)  # a paused process would not see the other signal
    for process in _wait_until_ended(processes, timeout_s=patience_s):
        with suppress(psutil.NoSuchProcess):
            process.kill()
    _wait_until_ended(processes, timeout_s=KILL_TAKES_S)
    for process in processes:
        kill_group(process.pid)


def kill_group(leader_pid: int) -> None:
    """Kill what a child that `spawn` started has itself started and left behind."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader_pid, signal.SIGKILL)


def _wait_until_ended(processes: Sequence[psutil.Process], *, timeout_s: float) -> list[psutil.Process]:
    """Those that are still there after `timeout_s`."""
    give_up_at = time.monotonic() + timeout_s
    while (alive := [process for process in processes if not _has_ended(process)]) and time.monotonic() < give_up_at:
        time.sleep(LOOK_EVERY_S)
    return alive


def _has_ended(process: psutil.Process) -> bool:
    if isinstance(process, psutil.Popen):
        return process.poll() is not None
    try:
        # Whoever adopted a dead supervisor's child may be slow to collect it, or never do so (in a container).
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True
