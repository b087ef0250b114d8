"""Runs one service: its folds, its loops, its HTTP port, until it is told to stop.

Everything runs in one event loop and under one task group: what raises is a bug, ends the process with nothing half
done, and a supervisor starts it again. On SIGTERM or SIGINT loops finish their step, for some seconds at most; a
request that is cut off is an unknown outcome, which the next start finds and treats as such.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import structlog
import uvicorn
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from fastapi import FastAPI
from faststream.kafka import KafkaBroker

from schemas.topics import Topic
from shared import consumer, metrics
from shared.batch import Apply, News
from shared.cancelling import cancelled
from shared.database import Database
from shared.dead_letter_limit import DeadLetterLimit
from shared.fold import Fold
from shared.gate import Ends, Gate
from shared.kafka import KafkaSettings, broker_options
from shared.lane import Lane
from shared.memory import collect_seldom
from shared.passing import is_passing
from shared.producer import Producer
from shared.reconcile import BEAT_S, Loop
from shared.settings import CommonSettings, ConfigurationError
from shared.sql import text
from shared.standing import ForgetHeard
from shared.tie import Tie

log = structlog.get_logger()

STOP_STEPS_S = 6.0
CLOSE_S = 2.0
EXIT_BUG = 70
KAFKA = "KAFKA_BOOTSTRAP_SERVERS"
NOT_ALLOWED = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)
POLL_LIMIT_S = 60.0
DATABASE_LIMIT_S = 10.0
KAFKA_RETRY_S = 1.0
READINESS_TIMEOUT_S = 5.0
# A topic that is made after the start is found within this time.
METADATA_MAX_AGE_MS = 15_000


@dataclass(eq=False)
class Service:
    """One service's parts; `app.py` of each adds its folds and loops and hands over its HTTP application.

    `forget_heard`: what was announced was announced to a Kafka, or a topic, that is no more, so all of it is announced
    again; to another Kafka dead letters are as well. `free_leases`: SQL that ends every lease in the service's own
    tables; run at start if no other process is there.
    """

    name: str
    settings: CommonSettings
    kafka: KafkaSettings
    database: Database
    own_topics: tuple[Topic, ...]
    forget_heard: ForgetHeard
    folds: list[Fold] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    lane: Lane | None = None
    free_leases: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.tie = Tie(self.database, self.kafka, self.forget_heard)
        self._gates: list[Gate] = []
        self.gate = self.gate_on(self.own_topics)
        metrics.GATE_OPEN.set_function(lambda: self.gate.is_open)
        self.producer = Producer(self.kafka, client_id=f"ticketsync.{self.name}")
        try:
            options = broker_options(self.kafka)
        except OSError as error:
            raise ConfigurationError(f"a file that a KAFKA_SSL_ setting names cannot be used: {error}") from error
        self._broker = KafkaBroker(
            **options,
            client_id=f"ticketsync.{self.name}",
            # What is published goes through `self.producer`, which has other settings than FastStream's own.
            consumer_only=True,
            allow_auto_create_topics=False,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            logger=None,
        )
        self._started = False
        self._wakes: dict[str, Callable[[], None]] = {}

    def gate_on(self, topics: Sequence[Topic]) -> Gate:
        """A gate that opens once these topics are read up to where they end at start."""
        gate = Gate(self.database, [topic.name for topic in topics], self.ends_of(topics))
        self._gates.append(gate)
        return gate

    def ends_of(self, topics: Sequence[Topic]) -> Ends:
        """Asks Kafka, whenever it is called, for the end offset of every partition of these topics."""
        return partial(self.tie.ends, [topic.name for topic in topics])

    def fold(self, topic: Topic, apply: Apply, *, news: News | None = None, needs_gate: bool = False) -> Fold:
        """Consume `topic` with `apply`."""
        fold = Fold(
            service=self.name,
            topic=topic,
            apply=apply,
            news=news,
            database=self.database,
            gate=self.gate,
            wake=self.wake,
            batch_records=self.settings.fold_batch_records,
            limit=DeadLetterLimit(topic.name, percent=self.settings.dead_letter_limit_percent),
            own=topic in self.own_topics,
            forget_heard=self.forget_heard if topic in self.own_topics else None,
            needs_gate=needs_gate,
        )
        fold.subscribe(self._broker)
        metrics.LAG.labels(topic.name).set_function(lambda: sum(fold.lag.values()))
        metrics.STOPPED.labels(topic.name).set_function(lambda: fold.limit.stopped is not None)
        self.folds.append(fold)
        return fold

    def loop(
        self,
        name: str,
        step: Callable[[], Awaitable[float | None]],
        *,
        workers: int = 1,
        gated: bool = True,
        beat_s: float = BEAT_S,
    ) -> None:
        """Run `step` as a reconcile loop; gated ones rest while the gate is closed. `beat_s`: its longest sleep."""
        loop = Loop(name, step, gate=self.gate if gated else None, workers=workers, beat_s=beat_s)
        self.loops.append(loop)
        self._wakes[name] = loop.wake

    def wake(self, name: str) -> None:
        """Let the loop of this name look at once; a name of another service's loop is nobody's."""
        if name in self._wakes:
            self._wakes[name]()

    async def run(self, app: FastAPI, *, host: str, port: int) -> None:
        """Serve until SIGTERM or SIGINT. What is a bug is logged and ends the process with exit code 70."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        collect_seldom()
        server = _Server(uvicorn.Config(app, host=host, port=port, log_config=None, access_log=False, lifespan="off"))
        await self.database.arrive(self._free_leases)
        try:
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(work) for work in (server.serve(), self._work())]
                background += [group.create_task(gate.keep()) for gate in self._gates]
                background.append(group.create_task(self.database.listen(self.wake)))
                running = [group.create_task(loop.run()) for loop in self.loops]
                log.info("started", host=host, port=port)
                await stop.wait()
                log.info("stopping")
                for loop in self.loops:
                    loop.stop()
                server.should_exit = True
                await asyncio.wait([*running, background[0]], timeout=STOP_STEPS_S)
                await cancelled([*running, *background])
        except BaseExceptionGroup as bug:
            log.error("crashed", exc_info=bug)  # noqa: TRY400  # the logger renders it without the values in it
            raise SystemExit(EXIT_BUG) from None
        finally:
            await self._close()
        log.info("stopped")

    async def _free_leases(self) -> None:
        """Nobody need wait for the leases of a process that was killed, if it was the only one."""
        async with self.database.transaction() as connection:
            for statement in ("delete from lease", *self.free_leases):
                await connection.execute(text(statement))

    async def _work(self) -> None:
        """Start consuming once Kafka can be reached, then watch over the folds."""
        while not self._started:
            try:
                await self.tie.hold()
                await consumer.start(self._broker)
                self._started = True
            except Exception as error:
                if not is_passing(error):
                    raise
                setting = KAFKA if isinstance(error, KafkaError) else f"{self.name.upper()}_DATABASE_URL"
                if isinstance(error, NOT_ALLOWED):
                    rights = "Kafka does not allow it; the rights that a service needs: docs/security.md"
                    log.error(rights, setting="KAFKA_SASL_USERNAME", error=type(error).__name__)  # noqa: TRY400  # no defect here
                else:
                    log.warning("not reached yet", setting=setting, error=type(error).__name__)
                await asyncio.sleep(KAFKA_RETRY_S)
        await asyncio.gather(*(fold.watch() for fold in self.folds))

    async def _stop_folds(self) -> None:
        await asyncio.gather(*(fold.stop() for fold in self.folds))

    async def _close(self) -> None:
        for close in (self._stop_folds, self._broker.stop, self.producer.close, self.database.close):
            with contextlib.suppress(TimeoutError, KafkaError, OSError, ExceptionGroup):
                async with asyncio.timeout(CLOSE_S):
                    await close()

    async def readiness(self) -> Mapping[str, Any]:
        """What /readyz answers; `ready` sums it up. A stopped lane is shown but does not make a service unready.

        Without its database it is not ready, and lives all the same: a start would not bring the database back.
        """
        now = time.monotonic()
        folds = {fold.topic.name: self._fold_state(fold) for fold in self.folds}
        loops = {loop.name: round(now - loop.beat_at, 1) for loop in self.loops}
        polled = all(one["last_poll_s"] is None or one["last_poll_s"] < POLL_LIMIT_S for one in folds.values())
        stopped = [fold.limit.stopped for fold in self.folds if fold.limit.stopped]
        joined = self._started and all(fold.joined for fold in self.folds)
        silent_s = now - self.database.answered_at
        answers = silent_s < DATABASE_LIMIT_S
        lane = await self.lane.shown(within_s=READINESS_TIMEOUT_S) if self.lane and answers else None
        answers = answers and (lane is not None or self.lane is None)
        state: dict[str, Any] = {
            "ready": answers and joined and self.gate.is_open and polled and not stopped,
            "service": self.name,
            "stopped": stopped,
            "gate": "open" if self.gate.is_open else "closed",
            "gates": {" and ".join(one.topics): "open" if one.is_open else "closed" for one in self._gates},
            "folds": folds,
            "loops_beat_s": loops,
            "database": {"answers": answers, "answered_s": round(silent_s, 1)},
        }
        return {**state, "lane": lane} if lane else state

    def _fold_state(self, fold: Fold) -> dict[str, Any]:
        polls = [fold.consumer.last_poll_timestamp(one) for one in fold.assigned] if fold.consumer else []
        last = max((poll for poll in polls if poll), default=None)
        return {
            "assigned": len(fold.assigned),
            "lag": sum(fold.lag.values()),
            "last_poll_s": None if last is None else round(time.time() - last / 1000, 1),
        }


class _Server(uvicorn.Server):
    """uvicorn without its own signal handling: `Service.run` decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:  # noqa: ANN401  # as declared by uvicorn
        yield
