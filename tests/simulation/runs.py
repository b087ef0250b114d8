"""Makes a run of a seed, replays a list of moves, and shrinks a list that breaks a promise."""

import gc
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

from services.cloud_updater.decisions import MAX_FILES
from tests.simulation.broker import PARTITIONS
from tests.simulation.cloud import FAULTS
from tests.simulation.healing import check_promises, heal
from tests.simulation.oracle import Violation
from tests.simulation.processes import OWN, SENDERS, SERVICES, Process
from tests.simulation.seams import modelled
from tests.simulation.themes import Shape, Theme, shape_of, theme_of
from tests.simulation.world import RECORDINGS, Move, World

MOVES = 140
SETTLING_ROUNDS = 5
TROUBLES = ("crash", "nap")
TOPICS_OF_OTHERS = ("RecordingProcessed", "TicketLinkRequested")
INPUT_TOPICS = (*TOPICS_OF_OTHERS, "TicketSyncRequested")
FILES_A_REQUEST = (MAX_FILES, 1, 2)
EXPECTED = (
    *FAULTS,
    *(f"crash at {one}" for one in ("polled", "folded", "claimed", "sending", "answered", "recorded", "gathered")),
    "crash at published", "a sleeper woke after its lease", "a clock jumped", "a commit was not heard of",
    "a database was set back", "a database was lost", "a rebalance left a zombie owner", "compaction",
    "a topic was made anew before it was read", "a topic was made anew after it was read",
    "a record was lost before it was read", "a record was lost after it was read",
    "a publication failed for nothing", "a publication failed in part", "a publication failed unheard",
    "a late effect took place", "the cloud lost a folder", "the receiver was wiped",
    "a resync was asked for", "a poison record", "a duplicate, out of order", "a topic was replayed",
    "a sleeper sent late", "the cloud honours keys no longer", "an outage",
    "two uploads were recorded together", "a batch was read ahead", "a batch came while its fold looked",
    "a push was followed by another of its claim",
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What came of it. `violation` is None if every promise held."""

    shape: Shape
    seed: int
    moves: tuple[Move, ...]
    violation: str | None
    fired: Counter[str]


class _Choosing(NamedTuple):
    """What the arguments of a move are chosen from; `number` counts the moves."""

    theme: Theme
    chance: random.Random
    world: World
    number: int
    service: str
    replica: int
    replicas: int
    process: Process

    def task(self) -> str:
        """Mostly one that stands somewhere, else one that would talk to the cloud, else any."""
        under_way, lot = list(self.process.tasks), self.chance.random()
        if under_way and lot < 0.6:
            return self.chance.choice(under_way)
        senders = [one for one in self.process.steps if one in SENDERS]
        return self.chance.choice(senders if senders and lot > 0.8 else list(self.process.steps))

    def sleeper(self) -> str:
        """Preferably one that is about to send."""
        senders = [one for one in self.process.tasks if one in SENDERS]
        return self.chance.choice(senders or list(self.process.tasks) or ["nobody"])

    def sender(self) -> str:
        """A service that sends to the cloud."""
        return self.chance.choice([one for one in self.theme.troubled if one != "linker"])

    def recording(self) -> str:
        """One of them."""
        return self.chance.choice(list(RECORDINGS))

    def own_topic(self) -> str:
        """A compacted topic of the services."""
        return self.chance.choice([one.name for one in OWN.values()])

    def topic(self) -> str:
        """Mostly one of the services' own, else one of others."""
        return self.own_topic() if self.chance.random() < 0.7 else self.chance.choice(INPUT_TOPICS)

    def place(self) -> tuple[str, int]:
        """A partition, preferably one that ends with a fact of a service which nobody has read."""
        unread = self.world.unread()
        if unread and self.chance.random() < 0.7:
            return self.chance.choice(unread)
        return self.topic(), self.chance.randrange(PARTITIONS)

    def ticket(self) -> int | None:
        """A new one, an old one, or none."""
        return None if self.chance.random() < 0.2 else self.chance.choice((self.number, self.number, 1))


_ARGUMENTS: dict[str, Callable[[_Choosing], tuple[object, ...]]] = {
    "run": lambda of: (of.service, of.replica, of.task()),
    "go": lambda of: (of.service, of.replica, of.chance.choice(of.theme.stop_at)),
    "crash": lambda of: (of.service, of.replica, of.chance.choice(of.theme.crash_at)),
    "nap": lambda of: (of.service, of.replica, of.sleeper(), of.chance.choice(of.theme.nap_s)),
    "advance": lambda of: (of.chance.choice(of.theme.advance_s),),
    "jump": lambda of: (of.service, of.chance.choice((-600.0, -50.0, 50.0, 600.0))),
    "commit_fails": lambda of: (of.service, of.chance.random() < 0.5),
    "back_up": lambda of: (of.service,),
    "set_back": lambda of: (of.service,),
    "lose": lambda of: (of.service,),
    "rebalance": lambda of: (
        of.service,
        of.chance.choice(list(of.process.folds)),
        tuple(of.chance.randrange(of.replicas) for _ in range(PARTITIONS)),
    ),
    "compact": lambda of: (of.own_topic(), of.chance.randrange(PARTITIONS)),
    "make_anew": lambda of: (of.topic(),),
    "lose_record": lambda of: of.place(),
    "publish_fails": lambda of: (of.service, of.chance.randrange(3), of.chance.random() < 0.5),
    "replay": lambda of: (
        of.service,
        of.chance.choice(list(of.process.folds)),
        of.chance.choice((0, 0, of.chance.randrange(10))),
    ),
    "arm": lambda of: (
        of.chance.choice([one for one in of.theme.troubled if one != "linker"]),
        of.chance.choice(of.theme.faults),
    ),
    "let_through": lambda of: (of.chance.randrange(50),),
    "lose_folder": lambda of: (of.chance.randrange(50),),
    "lose_keys": lambda _: (),
    "outage": lambda of: (of.chance.choice((5.0, 60.0, 300.0)), of.chance.random() < 0.3),
    "say_again": lambda of: (of.chance.randrange(50),),
    "wipe_tickets": lambda of: (of.number,),
    "process": lambda of: (of.recording(), of.chance.randrange(1, 4)),
    "ask": lambda of: (
        of.number,
        of.recording(),
        of.ticket(),
        of.chance.choice((0.0, 0.0, 1.0, 60.0)),
        of.chance.random() < 0.5,
    ),
    "resync": lambda of: (
        f"resync-{of.number}",
        of.chance.choice(("all", "Monday", "Tuesday", *RECORDINGS)),
        of.chance.random() < 0.5,
    ),
    "poison": lambda of: (of.chance.choice(TOPICS_OF_OTHERS), of.chance.randrange(3)),
}


def choose(world: World, theme: Theme, chance: random.Random, number: int, *, moves: int) -> Move:
    """The next move, of so many."""
    kind = theme.chosen(chance, left=moves - number)
    service = chance.choice(theme.troubled if kind in TROUBLES else SERVICES)
    replica = chance.randrange(world.shape.replicas)
    process = world.processes[service, replica]
    choosing = _Choosing(theme, chance, world, number, service, replica, world.shape.replicas, process)
    return Move(kind, _ARGUMENTS[kind](choosing))


def make(seed: int, *, moves: int = MOVES, files_a_request: int | None = None) -> Run:
    """The run of this seed: the same whenever it is asked for."""
    chance = random.Random(seed)
    theme = theme_of(chance)
    of_seed = FILES_A_REQUEST[seed % len(FILES_A_REQUEST)]
    shape = shape_of(chance, theme)._replace(files_a_request=files_a_request or of_seed)
    with modelled(files_a_request=shape.files_a_request), _no_cycles_looked_for():
        world = World(shape, seed)
        made: list[Move] = []
        try:
            if world.shape.settled:
                made += settle(world)
            for number in range(moves):
                made.append(choose(world, theme, chance, number, moves=moves))
                world.apply(made[-1])
            end(world)
        except (Violation, AssertionError) as error:
            return Run(world.shape, seed, tuple(made), str(error) or repr(error), world.fired)
        finally:
            close(world)
        return Run(world.shape, seed, tuple(made), None, _fired(world))


def settle(world: World) -> list[Move]:
    """Every recording is uploaded and linked before anything goes wrong, so that it goes wrong with the pushes."""
    moves = [Move("process", (one, 1)) for one in RECORDINGS]
    moves += [Move("ask", (-place, one, -place, 0.0, False)) for place, one in enumerate(RECORDINGS, start=1)]
    for _ in range(SETTLING_ROUNDS):
        moves += [Move("go", key) for key in world.processes]
        moves.append(Move("advance", (1.0,)))
    for move in moves:
        world.apply(move)
    return moves


def replay(shape: Shape, seed: int, moves: Sequence[Move]) -> str | None:
    """What this list of moves breaks."""
    with modelled(files_a_request=shape.files_a_request):
        world = World(shape, seed)
        try:
            for move in moves:
                world.apply(move)
            end(world)
        except (Violation, AssertionError) as error:
            return str(error) or repr(error)
        finally:
            close(world)
    return None


def shrink(run: Run) -> tuple[Move, ...]:
    """As few of its moves as still break a promise: parts are left out, the larger first, as long as one can be."""
    moves, kind = list(run.moves), _kind(run.violation)
    size = len(moves) // 2
    while size:
        place = 0
        while place < len(moves):
            fewer = moves[:place] + moves[place + size :]
            if _kind(replay(run.shape, run.seed, fewer)) == kind:
                moves = fewer
            else:
                place += size
        size //= 2
    return tuple(moves)


def _kind(violation: str | None) -> str | None:
    """Its first words: what a run breaks must not change while it is made shorter."""
    return violation and " ".join(re.sub(r"\S*\d\S*", "#", violation).split()[:4])


def end(world: World) -> None:
    """Each recording has its last revision, everything goes well from here on, and the promises must hold."""
    world.apply(Move("say_the_lost"))
    for recording in RECORDINGS:
        world.apply(Move("process", (recording, 4)))
    heal(world)
    check_promises(world)


def close(world: World) -> None:
    """Stop what runs in it."""
    for process in world.processes.values():
        process.stop()


@contextmanager
def _no_cycles_looked_for() -> Iterator[None]:
    """A run is short, and to look for cycles in a world that is all in use costs a tenth of it."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def _fired(world: World) -> Counter[str]:
    failed = sum(one.failed_commits for one in world.databases.values())
    return world.fired + world.cloud.fired + world.broker.fired + Counter({"a commit was not heard of": failed})
