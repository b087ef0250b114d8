"""Secrets that change while a service runs: what `NAME_FILE` holds now, not what it held at the start.

The file is looked at for each use and read when it has changed, so a new token is used from the next request on. One
that is gone, empty, or not of the form that its use needs (it is just being written, say) leaves the last good one.
"""

import os
from collections.abc import Callable
from pathlib import Path


def rereading(name: str, at_start: str, *, is_good: Callable[[str], bool] = bool) -> Callable[[], str]:
    """The setting of this name as it is now; `at_start`: as it was read then, and stays without a file."""
    path = os.environ.get(f"{name}_FILE")
    if not path:
        return lambda: at_start
    file, good = Path(path), at_start
    seen: tuple[int, int, int] | None = None

    def read() -> str:
        nonlocal good, seen
        try:
            state = file.stat()
            now = (state.st_mtime_ns, state.st_size, state.st_ino)
            if now != seen:
                written = file.read_text().strip()
                good, seen = (written if is_good(written) else good), now
        except (OSError, ValueError):
            return good
        return good

    return read
