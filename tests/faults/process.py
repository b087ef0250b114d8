"""A test build of a service: the product, with named points at which it can be made to end or to stand still.

Run as `python -m tests.faults.process run linker ...`, which takes what `ticketsync run` takes. Nothing in the product
knows of it: its functions are wrapped here, at the same points as in the simulation; what merely passes by the same
functions (pings, dead letters) is let by. FAULT_ORDERS names a file; when it holds `crash claimed 2 FILE`, the process
ends without another word at the second `claimed` from then on, and with `stop claimed 2 FILE` it stops itself
(SIGSTOP), unless somebody else has taken FILE away. Each that happened is a line in the file's neighbour `.seen`, with
what it happened to. FAULT_BUG names a deliberate bug (bugs.py).
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar

from services.cloud_updater.push_tickets import NOT_SENT as NOT_PUSHED
from services.cloud_updater.push_tickets import PushTickets, _Ready
from services.transfer.upload_recordings import NOT_SENT, Claimed, UploadRecordings
from shared.announce_dead_letters import NAME as DEAD_LETTERS
from shared.announce_once import GATHER_S, OnceAnnouncer
from shared.cloud import Cloud
from shared.fold import Fold
from shared.outcome import Done
from shared.producer import Producer
from tests.faults.bugs import break_product
from tests.simulation.points import Point

EXIT_CRASHED = 77
P = ParamSpec("P")
R = TypeVar("R")


class Call(NamedTuple):
    """Of a function that is wrapped."""

    args: tuple[Any, ...]
    named: Mapping[str, Any]


def _no_ping(call: Call, _: object) -> str:
    """Of Cloud.post: the id of an upload's request, the path of a push."""
    _, name, path, *_ = call.args
    return "" if name == "ping" else str(call.named.get("idempotency_key") or path)


def _answered(call: Call, outcome: object) -> str:
    """The same once the cloud has done it: with any other outcome there may be nothing to be recorded."""
    return _no_ping(call, outcome) if isinstance(outcome, Done) else ""


def _facts(call: Call, _: object) -> str:
    """Of Producer.publish: dead letters are no facts, and have no point of their own."""
    _, records, *_ = call.args
    return next((one.topic for one in records if not one.topic.endswith(".dlq")), "")


def _marked(call: Call, wait_s: object) -> str:
    """Of OnceAnnouncer.step: a lot of facts was published and marked."""
    name = str(call.args[0].name)
    return name if name != DEAD_LETTERS and wait_s in (0, GATHER_S) else ""


def _stored(call: Call, _: object) -> str:
    """Of Fold._store."""
    return str(call.args[0].topic.name)


def _claimed(_: Call, claims: Sequence[object]) -> str:
    """Of either service's `_claim`: by one of its workers at least."""
    return "claimed" if any(isinstance(one, Claimed | _Ready) for one in claims) else ""


def _pushed(call: Call, _: object) -> str:
    """Of PushTickets._record: not what never left."""
    _, _, decision = call.args
    return "" if decision == NOT_PUSHED else "recorded"


def _uploaded(call: Call, _: object) -> str:
    """Of UploadRecordings._record: the same of several."""
    _, answered = call.args
    return "recorded" if any(outcome != NOT_SENT for _, outcome in answered) else ""


About = Callable[[Call, Any], str]


@dataclass(frozen=True)
class Seam:
    """Where the product is wrapped: the points on either side, and what each is about ("": it does not count)."""

    owner: Any
    name: str
    before: tuple[Point, About] | None
    after: tuple[Point, About] | None


SEAMS = (
    Seam(Fold, "_store", (Point.POLLED, _stored), (Point.FOLDED, _stored)),
    Seam(PushTickets, "_claim", None, (Point.CLAIMED, _claimed)),
    Seam(UploadRecordings, "_claim", None, (Point.CLAIMED, _claimed)),
    Seam(Cloud, "post", (Point.SENDING, _no_ping), (Point.ANSWERED, _answered)),
    Seam(PushTickets, "_record", None, (Point.RECORDED, _pushed)),
    Seam(UploadRecordings, "_record", None, (Point.RECORDED, _uploaded)),
    Seam(Producer, "publish", (Point.GATHERED, _facts), (Point.PUBLISHED, _facts)),
    Seam(OnceAnnouncer, "step", None, (Point.MARKED, _marked)),
)


class Orders:
    """What this process was told to do, read again at every point; one order at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._passed: Counter[str] = Counter()

    def pass_by(self, point: Point, about: str) -> None:
        """Carry out the order, if it is time and nobody else has. `about` goes into the record of it."""
        try:
            kind, wanted, number, once = self._file.read_text().split(maxsplit=3)
            self._passed[once] += wanted == point
            if self._passed[once] < int(number):
                return
            Path(once).unlink()
        except (FileNotFoundError, ValueError):  # there is none, it is just being written, or another had it first
            return
        with self._file.with_name(f"{self._file.name}.seen").open("a") as seen:
            seen.write(f"{kind} {point} {about}\n")
        if kind == "crash":
            os._exit(EXIT_CRASHED)
        os.kill(os.getpid(), signal.SIGSTOP)


def wrapped(orders: Orders, act: Callable[P, Awaitable[R]], seam: Seam) -> Callable[P, Awaitable[R]]:
    """The same function, with a point on either side."""

    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        if seam.before and (about := seam.before[1](Call(args, kwargs), None)):
            orders.pass_by(seam.before[0], about)
        result = await act(*args, **kwargs)
        if seam.after and (about := seam.after[1](Call(args, kwargs), result)):
            orders.pass_by(seam.after[0], about)
        return result

    return call


def main() -> None:
    """Become the command line of the product."""
    orders = Orders(Path(os.environ["FAULT_ORDERS"]))
    if bug := os.environ.get("FAULT_BUG"):
        break_product(bug)
    for seam in SEAMS:
        setattr(seam.owner, seam.name, wrapped(orders, getattr(seam.owner, seam.name), seam))
    from ops.main import main as ticketsync  # noqa: PLC0415  # after its parts have been wrapped

    sys.argv[0] = "ticketsync"
    sys.exit(ticketsync())


if __name__ == "__main__":
    main()
