"""A file that is there whole or not at all: what is written goes into a part beside it, which takes its name at last.

What stood there before stays until then, and a link goes on leading to it. What is no file, or what a link of the
system leads to (/dev/stdout), is written into: putting a file in its place would harm everybody who uses it. Invariant:
nobody else can read a new file, as there are customers' names in it; one that is replaced keeps owner and mode, and
where the owner cannot be kept it is as a new one. If the process is killed the part is left behind.
"""

import errno
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from ops.exits import WrongInput

LINKS_MAX = 40
OF_THE_SYSTEM = ("/dev", "/proc")
PRIVATE = 0o600
STDOUT = 1


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """It, open for writing. Raises WrongInput, before it is yielded, if it cannot be opened; OSError of the writing."""
    try:
        file, part, replaced = _opened(target)
    except OSError as error:
        raise WrongInput(f"{target} cannot be written: {error.strerror}") from None
    try:
        with file:
            yield file
        if part:
            part.replace(replaced)
    except BaseException:
        if part:
            part.unlink(missing_ok=True)
        raise


def _opened(target: Path) -> tuple[BinaryIO, Path | None, Path]:
    """The file to write into; the part that it is, if it is one; and what the part is to replace."""
    led_to = _led_to(target)
    if led_to is None or (led_to.exists() and not led_to.is_file()):
        return _written_into(target), None, target
    if led_to.exists() and not os.access(led_to, os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    descriptor, name = tempfile.mkstemp(dir=led_to.parent, prefix=".ticketsync-", suffix=".part")
    if led_to.exists():
        # In the hands of another owner or group its mode would let in others than before.
        with suppress(OSError):
            was = led_to.stat()
            os.chown(descriptor, was.st_uid, was.st_gid)
            shutil.copymode(led_to, name)
    return os.fdopen(descriptor, "wb"), Path(name), led_to


def _led_to(target: Path) -> Path | None:
    """The file that the links lead to, there or not; None: the system says where it is, or has it itself."""
    where = target
    for _ in range(LINKS_MAX):
        where = Path(os.path.realpath(where.parent), where.name)
        if any(where.is_relative_to(one) for one in OF_THE_SYSTEM):
            return None
        if not where.is_symlink():
            return where
        where = where.parent / where.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _written_into(target: Path) -> BinaryIO:
    """At its end, if it has one. What is stdout itself is written through it, or each would write over the other."""
    with suppress(OSError):
        if os.path.samestat(target.stat(), os.fstat(STDOUT)):
            return os.fdopen(os.dup(STDOUT), "wb")
    return os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE), "wb")
