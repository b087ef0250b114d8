"""How a process of a service manages memory: as one that moves batches of megabytes all the time, without cycles."""

import ctypes
import gc
from contextlib import suppress

GC_AFTER = 100_000
HAND_BACK_BYTES = 131_072
# <malloc.h>
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3


def collect_seldom() -> None:
    """Facts are read by the thousand and hold no cycles: looking for some after each few hundred costs a tenth."""
    gc.set_threshold(GC_AFTER, 50, 100)


def hand_back_large_blocks() -> None:
    """From HAND_BACK_BYTES on a block is a mapping of its own, which is gone when it is freed.

    glibc keeps a freed block of megabytes for the next one of that size, once it has seen some, amid small ones that
    last; the gaps between them were 15 to 30 MB of linker and transfer. The price is that each page of the next block
    has to be had from the kernel again. cloud_updater has room, and keeps them. Other C libraries do as they do.
    """
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(_M_MMAP_THRESHOLD, HAND_BACK_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, 2 * HAND_BACK_BYTES)
