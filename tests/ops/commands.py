"""Runs `ticketsync`, judged by its exit code and by what it prints.

As scripts do, in a process of its own; or in this process, which costs a fifth and says the same, for tests of what a
command does on a running stack. That it starts, and how it ends by a signal, is for the first kind.
"""

import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO
from unittest.mock import patch

from ops.main import main

TICKETSYNC = Path(sys.executable).with_name("ticketsync")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """What stdout holds, which must be JSON and nothing else."""
        assert self.out, f"nothing on stdout, exit code {self.code}: {self.err}"
        value: dict[str, Any] = json.loads(self.out)
        return value


def ticketsync(
    *arguments: object, stdin: str = "", settings: Mapping[str, str] | None = None, timeout_s: float = 120
) -> Ended:
    """Run a command to its end; `settings` are added to the environment."""
    done = subprocess.run(
        [TICKETSYNC, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env={**os.environ, **(settings or {})},
    )
    assert "Traceback" not in done.stderr, done.stderr
    return Ended(done.returncode, done.stdout, done.stderr)


def in_process(
    *arguments: object,
    stdin: str = "",
    settings: Mapping[str, str] | None = None,
    folder: Path | None = None,
    together: bool = False,
) -> Ended:
    """Run a command here, as if from `folder`; with `together`, `out` also has what it said on stderr, in its place."""
    out = _stream()
    err = out if together else _stream()
    with _standing_for(_stream(stdin), out, err), patch.dict(os.environ, settings or {}), chdir(folder or Path.cwd()):
        code = main([str(one) for one in arguments])
    return Ended(code, _written(out), "" if together else _written(err))


@contextmanager
def _standing_for(stdin: TextIO, stdout: TextIO, stderr: TextIO) -> Iterator[None]:
    before = sys.stdin, sys.stdout, sys.stderr
    sys.stdin, sys.stdout, sys.stderr = stdin, stdout, stderr
    try:
        yield
    finally:
        sys.stdin, sys.stdout, sys.stderr = before


def _stream(content: str = "") -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(content.encode()), encoding="utf-8", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    content = stream.buffer
    assert isinstance(content, io.BytesIO)
    return content.getvalue().decode()
