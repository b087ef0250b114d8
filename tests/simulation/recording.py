"""Writes down what a run of the simulation asks of the models of the stores, for contract.py to ask it of PostgreSQL.

In: a seed. Out: for each service the transactions of its run, with every call of a model, its arguments, its answer,
and the time at which it was made. A database that is lost or set back in the run, or whose positions are, is followed
up to that moment.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from datetime import datetime
from types import FunctionType
from typing import Any

from services.cloud_updater.decisions import MAX_FILES
from tests.simulation import database, healing, linker_store, runs, seams, transfer_store, updater_store
from tests.simulation.database import ModelDatabase
from tests.simulation.database_moves import DatabaseMoves
from tests.simulation.stage import Stage
from tests.simulation.topic_moves import TopicMoves
from tests.simulation.world import World

# Functions of models that the simulation hands to announcers by itself.
ANNOUNCERS = (
    (linker_store, "unheard"),
    (linker_store, "facts"),
    (linker_store, "forget_heard"),
    (transfer_store, "unheard"),
    (transfer_store, "facts"),
    (transfer_store, "forget_heard"),
    (updater_store, "next_lot"),
    (updater_store, "mark"),
    (updater_store, "forget_announced"),
)


@dataclass(frozen=True)
class Call:
    """One call of a model. `owner`: the class of the product, or the module, that it stands for."""

    owner: Any
    name: str
    args: tuple[Any, ...]
    named: Mapping[str, Any]
    answer: Any = None
    failed: str | None = None  # the exception's name


@dataclass
class Transaction:
    """`steps`: calls, or "savepoint", "released", "undone", "leases freed"."""

    now: datetime
    steps: list[Call | str] = field(default_factory=list)
    committed: bool = False


@dataclass
class Trace:
    """What one service asked of its database. `over`: the database was changed by nobody that could be heard."""

    service: str
    made_at: datetime
    transactions: list[Transaction] = field(default_factory=list)
    over: bool = False

    @property
    def calls(self) -> int:
        """How many calls there are to play."""
        return sum(isinstance(step, Call) for one in self.transactions for step in one.steps)


def recorded(seed: int, *, moves: int = runs.MOVES) -> Sequence[Trace]:
    """The run of this seed, as its three databases saw it."""
    recorder = _Recorder()
    with recorder.listening():
        runs.make(seed, moves=moves, files_a_request=MAX_FILES)  # as the SQL has it
    return list(recorder.traces.values())


@dataclass(eq=False)
class _Recorder:
    traces: dict[str, Trace] = field(default_factory=dict)
    _running: Transaction | None = None
    _inside: bool = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Every call of a model is written down while the block runs."""
        methods = [
            (model, name, self._heard(method, real))
            for real, model in seams.MODELS
            for name, method in vars(model).items()
            if isinstance(method, FunctionType) and name in vars(real) and not name.startswith("__")
        ]
        functions = tuple(
            (owner, name, self._heard(new, owner) if isinstance(new, FunctionType) else new)
            for owner, name, new in seams.FUNCTIONS
        )
        announcers = [(module, name, self._heard(vars(module)[name], module)) for module, name in ANNOUNCERS]
        around = [
            (database._Transaction, "__aenter__", self._begun(database._Transaction.__aenter__)),
            (database._Transaction, "__aexit__", self._ended(database._Transaction.__aexit__)),
            (database._Savepoint, "__aenter__", self._saved(database._Savepoint.__aenter__)),
            (database._Savepoint, "__aexit__", self._unsaved(database._Savepoint.__aexit__)),
            (Stage, "_start", self._started(Stage._start)),
            (DatabaseMoves, "lose", self._exchanged(DatabaseMoves.lose)),
            (DatabaseMoves, "set_back", self._exchanged(DatabaseMoves.set_back)),
            (TopicMoves, "replay", self._exchanged(TopicMoves.replay)),
            (healing, "_replayed", self._all_over(healing._replayed)),
        ]
        with seams.replaced(*methods, *announcers, *around, (seams, "FUNCTIONS", functions)):
            yield

    def _heard(self, act: Callable[..., Awaitable[Any]], owner: object) -> Callable[..., Awaitable[Any]]:
        """A model may ask another: what the product itself has asked is written down."""

        async def call(*args: Any, **named: Any) -> Any:  # noqa: ANN401  # as the model has it
            if self._inside or self._running is None:
                return await act(*args, **named)
            self._inside = True
            # What can be gone through only once is asked of two; what is given or answered may be changed later.
            args = tuple(list(one) if isinstance(one, Iterator) else one for one in args)
            given = tuple(map(_as_it_is, args[1:] if isinstance(owner, type) else args))
            try:
                answer = await act(*args, **named)
            except Exception as error:
                self._running.steps.append(Call(owner, act.__name__, given, named, failed=type(error).__name__))
                raise
            finally:
                self._inside = False
            self._running.steps.append(Call(owner, act.__name__, given, named, _as_it_is(answer)))
            return answer

        return call

    def _begun(self, enter: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(transaction: Any) -> Any:  # noqa: ANN401  # of the model's own class
            made: ModelDatabase = transaction._database
            trace = self.traces.setdefault(made.service, Trace(made.service, made.tables.origin["created_at"]))
            self._running = Transaction(made.now)
            if not trace.over:
                trace.transactions.append(self._running)
            return await enter(transaction)

        return call

    def _ended(self, leave: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def call(transaction: Any, kind: Any, *error: Any) -> None:  # noqa: ANN401  # as above
            assert self._running is not None
            fails = transaction._database.commits_fail
            self._running.committed = not kind and not (fails and fails[-1] is False)
            self._running = None
            await leave(transaction, kind, *error)

        return call

    def _saved(self, enter: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def call(savepoint: Any) -> Any:  # noqa: ANN401  # as above
            self._note("savepoint")
            return await enter(savepoint)

        return call

    def _unsaved(self, leave: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def call(savepoint: Any, kind: Any, *error: Any) -> None:  # noqa: ANN401  # as above
            self._note("undone" if kind else "released")
            await leave(savepoint, kind, *error)

        return call

    def _note(self, step: str) -> None:
        if self._running:
            self._running.steps.append(step)

    def _started(self, start: Callable[..., None]) -> Callable[..., None]:
        def call(world: World, service: str, *rest: Any) -> None:  # noqa: ANN401  # as above
            trace = self.traces.get(service)
            if trace and not trace.over and world.shape.replicas == 1:
                trace.transactions.append(Transaction(world.databases[service].now, ["leases freed"], committed=True))
            start(world, service, *rest)

        return call

    def _exchanged(self, exchange: Callable[..., None]) -> Callable[..., None]:
        def call(world: World, service: str, *rest: Any) -> None:  # noqa: ANN401  # as above
            before = world.fired.total()
            exchange(world, service, *rest)
            if service in self.traces and world.fired.total() > before:
                self.traces[service].over = True

        return call

    def _all_over(self, act: Callable[..., None]) -> Callable[..., None]:
        """Positions are set back by nobody that could be heard."""

        def call(*args: Any) -> None:  # noqa: ANN401  # as above
            for trace in self.traces.values():
                trace.over = True
            act(*args)

        return call


def _as_it_is(value: Any) -> Any:  # noqa: ANN401  # whatever a model takes or answers
    return copy(value) if isinstance(value, dict | list | set) else value
