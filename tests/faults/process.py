"""A test build of a service: the product, with named points at which it can be made to end or to stand still.

Run as `python -m tests.faults.process run linker ...`, which takes what `ticketsync run` takes. Nothing in the product
knows of it: its functions are wrapped here, at the same points as in the simulation. FAULT_ORDERS names a file; when it
holds `crash claimed 2`, the process ends without another word at the second `claimed` from then on, and with
`stop claimed 2` it stops itself (SIGSTOP). Each that happened is a line in the file's neighbour `.seen`. FAULT_BUG
names a deliberate bug (bugs.py).
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from services.cloud_updater.push_tickets import PushTickets, _Ready
from services.transfer.upload_recordings import Claimed, UploadRecordings
from shared.announce_once import OnceAnnouncer
from shared.cloud import Cloud
from shared.fold import Fold
from shared.producer import Producer
from tests.faults.bugs import break_product
from tests.simulation.points import Point

EXIT_CRASHED = 77
P = ParamSpec("P")
R = TypeVar("R")


def _always(_: object) -> bool:
    return True


def _claimed(result: Any) -> bool:  # noqa: ANN401  # of either service's claim
    return any(isinstance(one, Claimed | _Ready) for one in (result if isinstance(result, list) else [result]))


def _something(result: object) -> bool:
    return result is not None


# Where the product is wrapped: the point before, the point after, and whether the result means that there was work.
SEAMS: tuple[tuple[Any, str, Point | None, Point | None, Callable[[Any], bool]], ...] = (
    (Fold, "_store", Point.POLLED, Point.FOLDED, _always),
    (PushTickets, "_claim", None, Point.CLAIMED, _claimed),
    (UploadRecordings, "_claim", None, Point.CLAIMED, _claimed),
    (Cloud, "post", Point.SENDING, Point.ANSWERED, _always),
    (PushTickets, "_record", None, Point.RECORDED, _always),
    (UploadRecordings, "_record", None, Point.RECORDED, _always),
    (Producer, "publish", Point.GATHERED, Point.PUBLISHED, _always),
    (OnceAnnouncer, "step", None, Point.MARKED, _something),
)


class Orders:
    """What this process was told to do, read again at every point; one order at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._passed: Counter[Point] = Counter()

    def pass_by(self, point: Point) -> None:
        """Carry out the order that is meant for this point, if it is time."""
        try:
            kind, wanted, number = self._file.read_text().split()
        except (FileNotFoundError, ValueError):
            self._passed.clear()
            return
        self._passed[point] += wanted == point
        if self._passed[point] < int(number):
            return
        self._passed.clear()
        self._file.unlink()
        with self._file.with_suffix(".seen").open("a") as seen:
            seen.write(f"{kind} {point}\n")
        if kind == "crash":
            os._exit(EXIT_CRASHED)
        os.kill(os.getpid(), signal.SIGSTOP)


def wrapped(
    orders: Orders,
    act: Callable[P, Awaitable[R]],
    before: Point | None,
    after: Point | None,
    worked: Callable[[R], bool],
) -> Callable[P, Awaitable[R]]:
    """The same function, with a point on either side."""

    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if before:
            orders.pass_by(before)
        result = await act(*args, **kwargs)
        if after and worked(result):
            orders.pass_by(after)
        return result

    return call


def main() -> None:
    """Become the command line of the product."""
    orders = Orders(Path(os.environ["FAULT_ORDERS"]))
    if bug := os.environ.get("FAULT_BUG"):
        break_product(bug)
    for owner, name, before, after, worked in SEAMS:
        setattr(owner, name, wrapped(orders, getattr(owner, name), before, after, worked))
    from ops.main import main as ticketsync  # noqa: PLC0415  # after its parts have been wrapped

    sys.argv[0] = "ticketsync"
    sys.exit(ticketsync())


if __name__ == "__main__":
    main()
