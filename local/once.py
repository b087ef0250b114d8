"""What is made once for a user and then kept in the cache folder, also when two processes want it at once."""

import fcntl
from collections.abc import Callable
from pathlib import Path


def made_once(lock: Path, *, is_there: Callable[[], bool], make: Callable[[], None]) -> None:
    """Make it if it is not there yet; whoever comes meanwhile waits for that. `lock`: a file beside it.

    Raises what `make` raises; the next one tries again then.
    """
    if is_there():
        return
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not is_there():  # another process may have finished while this one waited
            make()
