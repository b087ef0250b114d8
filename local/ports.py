"""Ports on 127.0.0.1 that the embedded stack listens on: chosen once for a data folder, then kept.

In: the names of the listeners, and the file that remembers. Out: one port for each name, held while the block runs.
Invariant: a port changes only between two starts, and only if a stranger has taken it. So that a second stack, started
at the same moment, is not such a stranger, the ports are held before anything listens on them.
"""

import asyncio
import random
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from local.files import read_json, write_json

# Below the ephemeral ports of Linux (32768 and up): a client that keeps trying a dead server's port could otherwise be
# given that very port as its own, connect to itself, and keep the server from coming back.
LOWEST, HIGHEST = 15_000, 32_000
CONNECT_TIMEOUT_S = 1.0


@contextmanager
def held_ports(file: Path, names: Sequence[str], *, say: Callable[[str], None]) -> Iterator[dict[str, int]]:
    """The port of each name: the one in `file` if it can be had, else a new one; `file` is brought up to date.

    Nothing of the stack may be running: its own listeners would be taken for strangers.
    """
    known = read_json(file, int)
    ports: dict[str, int] = {}
    with ExitStack() as holding:
        for name in names:
            holder = _hold(known[name]) if name in known else None
            if name in known and holder is None:
                say(f"port {known[name]} of {name} is taken by another program: choosing a new one")
            holder = holding.enter_context(holder or _hold_new(avoid=set(known.values())))
            ports[name] = holder.getsockname()[1]
        write_json(file, known | ports)
        if sys.platform != "linux":
            holding.close()  # elsewhere the servers could not listen on a port that is held
        yield ports


async def accepts_connections(host: str, port: int) -> bool:
    """Whether something listens there."""
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True


def _hold_new(*, avoid: set[int]) -> socket.socket:
    while True:
        port = random.randint(LOWEST, HIGHEST)  # noqa: S311 - spreads stacks over the range, hides nothing
        holder = None if port in avoid else _hold(port, from_everybody=True)
        if holder:
            return holder


def _hold(port: int, *, from_everybody: bool = False) -> socket.socket | None:
    """A socket bound to the port, or None if it is taken.

    It does not listen, and it allows reuse; that lets servers, which allow reuse as well, listen beside it on Linux.
    `from_everybody` also refuses a port that another stack holds, or on which old connections are still fading.
    """
    holder = socket.socket()
    if not from_everybody:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        holder.bind(("127.0.0.1", port))
    except OSError:
        holder.close()
        return None
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return holder
