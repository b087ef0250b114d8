"""Runs `ticketsync` as scripts do: a process of its own, judged by its exit code and by what it prints."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
