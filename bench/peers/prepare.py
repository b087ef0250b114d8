"""Gets the peers into .bench/: Celery and the receiver's server in an environment of their own, Benthos from its
module; and Redis from Debian's package if this is root.

Runs before the measurements (`make bench`), with the standard library alone. What cannot be had is said, is no error,
and is reported as skipped with the figures; nothing of it gets near the product's own requirements.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
INTO = HERE.parent.parent / ".bench"
LIMIT_S = 600


def main() -> None:
    """Get all of them; one that is there already is left as it is, unless its lock is newer."""
    INTO.mkdir(exist_ok=True)
    _environment(INTO / "venv", HERE / "requirements.lock")
    _benthos(INTO / "benthos", HERE / "benthos")
    if shutil.which("redis-server") is None and shutil.which("apt-get") and os.geteuid() == 0:
        _try("Redis", [["apt-get", "update", "-q"], ["apt-get", "install", "-q", "-y", "redis-server"]])


def _environment(folder: Path, lock: Path) -> None:
    done = folder / ".done"
    if done.exists() and done.stat().st_mtime > lock.stat().st_mtime:
        return
    pip = str(folder / "bin" / "pip")
    install = [pip, "install", "--quiet", "--disable-pip-version-check", "--require-hashes", "-r", str(lock)]
    if _try("Celery", [[sys.executable, "-m", "venv", "--clear", str(folder)], install]):
        done.touch()


def _benthos(program: Path, source: Path) -> None:
    if program.exists() and program.stat().st_mtime > (source / "go.sum").stat().st_mtime:
        return
    if shutil.which("go") is None:
        _say("Benthos: no Go here")
        return
    _try("Benthos", [["go", "build", "-C", str(source), "-o", str(program), "."]])


def _try(what: str, commands: Sequence[Sequence[str]]) -> bool:
    for command in commands:
        try:
            subprocess.run(command, check=True, stdout=sys.stderr, timeout=LIMIT_S)
        except (OSError, subprocess.SubprocessError) as error:
            _say(f"{what} cannot be had: {type(error).__name__}: {error}")
            return False
    return True


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
