"""A file that is there whole or not at all: what is written goes into a part beside it, which takes its name at last.

What stood there before stays until then. Only a file is replaced, since putting one in place of a device or a pipe
would harm everybody who uses that. If the process is killed the part is left behind.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def whole_file(target: Path) -> Iterator[Path]:
    """Where to write it. Raises OSError."""
    if target.exists() and not target.is_file():
        raise OSError(errno.EINVAL, "it is no file")
    part = target.with_name(f"{target.name}.part")
    try:
        yield part
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
