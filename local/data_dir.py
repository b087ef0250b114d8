"""The data folder of an embedded stack: opened by one process at a time, with the secrets made at its first start.

Passwords stay as they are; a token has a file of its own, so that it can be changed while the stack runs.
"""

import fcntl
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from local.files import read_json, write_json, write_text


class DataDirInUseError(Exception):
    """Another process runs the stack of this folder."""


@contextmanager
def open_data_dir(data_dir: Path) -> Iterator[Path]:
    """The folder's absolute path, made if it is new (mode 0700) and held by this process while the block runs.

    Raises DataDirInUseError. A killed process holds nothing: the system drops its lock with it.
    """
    folder = data_dir.resolve()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / "logs").mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DataDirInUseError(f"another `ticketsync up` is running on {folder}") from None
        yield folder


def keep_secrets(folder: Path, names: Sequence[str]) -> dict[str, str]:
    """A secret for each name, the same at every start of this folder: hexadecimal, so safe in URLs and SQL."""
    file = folder / "secrets.json"
    known = read_json(file, str)
    made = {name: secrets.token_hex(16) for name in names if name not in known}
    if made:
        write_json(file, known | made)
    return known | made


def token_file(folder: Path, name: str, *, first: str | None = None, now: str | None = None) -> Path:
    """The file of a token, which its users read again whenever it has changed (shared/secret_files.py).

    It keeps what somebody wrote into it. A new one holds `first`, or a token that is made; with `now` it holds that.
    """
    file = folder / "tokens" / name
    file.parent.mkdir(mode=0o700, exist_ok=True)
    if now is not None or not file.exists():
        write_text(file, now or first or secrets.token_hex(16))
    return file
