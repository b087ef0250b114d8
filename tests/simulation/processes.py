"""A process of a service: its gate, folds and loops, wired as in its app.py, over a broker, a cloud and a database.

It does nothing by itself: each of its steps is a task that runs from one named point to the next when it is told to. A
crash drops the tasks where they stand, with all that the process knew; what it had committed, published or sent stays.
"""

from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.topics import (
    CLOUD_TICKET_UPDATED,
    RECORDING_PROCESSED,
    RECORDING_TRANSFERRED,
    TICKET_LINK_REQUESTED,
    TICKET_LINKED,
    TICKET_SYNC_REQUESTED,
    Topic,
    dlq_of,
)
from services.cloud_updater.expand_resyncs import ExpandResyncs
from services.cloud_updater.ledgers import Quiet
from services.cloud_updater.on_cloud_ticket_updated import fold_cloud_ticket_updated as updater_hears
from services.cloud_updater.on_cloud_ticket_updated import new_acknowledgements
from services.cloud_updater.on_recording_transferred import fold_recording_transferred as updater_places
from services.cloud_updater.on_recording_transferred import new_transfers
from services.cloud_updater.on_ticket_linked import fold_ticket_linked as updater_wants
from services.cloud_updater.on_ticket_linked import new_links
from services.cloud_updater.on_ticket_sync_requested import fold_ticket_sync_requested
from services.cloud_updater.push_again import PushAgain
from services.cloud_updater.push_tickets import PushTickets
from services.cloud_updater.pushes import Pushes
from services.cloud_updater.settings import CloudUpdaterSettings
from services.linker.match_parked import MatchParked
from services.linker.on_cloud_ticket_updated import fold_cloud_ticket_updated as linker_shows
from services.linker.on_recording_processed import fold_recording_processed as linker_lists
from services.linker.on_recording_transferred import fold_recording_transferred as linker_places
from services.linker.on_ticket_link_requested import fold_ticket_link_requested
from services.linker.on_ticket_linked import fold_ticket_linked as linker_hears
from services.linker.on_ticket_linked import new_own_links
from services.transfer.conclusions import Conclusions
from services.transfer.freeze_requests import IDEMPOTENCY_KEY
from services.transfer.on_recording_processed import fold_recording_processed as transfer_wants
from services.transfer.on_recording_transferred import fold_recording_transferred as transfer_hears
from services.transfer.on_recording_transferred import new_own_transfers
from services.transfer.on_ticket_linked import fold_ticket_linked as transfer_keeps
from services.transfer.settings import TransferSettings
from services.transfer.upload_recordings import Claimed, UploadRecordings
from shared.announce import Announcer
from shared.announce_dead_letters import dead_letter_announcer
from shared.announce_once import OnceAnnouncer
from shared.batch import Apply, News
from shared.cloud import Cloud as RealCloud
from shared.database import Database
from shared.dead_letter_limit import DeadLetterLimit
from shared.fold import Fold, Received
from shared.gate import Gate
from shared.lane import Lane
from shared.lane_state import LaneShut
from shared.producer import Outgoing, Producer, Published
from shared.reconcile import Loop
from tests.simulation import linker_store, transfer_store, updater_store
from tests.simulation.broker import Broker, Consumer, as_batch
from tests.simulation.clock import Clock
from tests.simulation.cloud import TIME_LIMIT_S, Client, Cloud
from tests.simulation.database import ModelDatabase
from tests.simulation.points import Pause, Point

SERVICES = ("linker", "transfer", "cloud_updater")
OWN = {"linker": TICKET_LINKED, "transfer": RECORDING_TRANSFERRED, "cloud_updater": CLOUD_TICKET_UPDATED}
# By name: who records a run listens to what stands there then.
FORGET_HEARD: dict[str, tuple[Any, str]] = {
    "linker": (linker_store, "forget_heard"),
    "transfer": (transfer_store, "forget_heard"),
    "cloud_updater": (updater_store, "forget_announced"),
}
_NOWHERE = "postgresql+asyncpg://simulated@localhost/simulated"
GIVEN = {"api_token": "t", "transfer_database_url": _NOWHERE, "cloud_updater_database_url": _NOWHERE}
TRANSFER = TransferSettings.model_validate(GIVEN)
UPDATER = CloudUpdaterSettings.model_validate(GIVEN)
AHEAD_MAX = 2
SENDERS = {"upload_recordings", "two_uploads", "push_tickets", "ping_cloud"}
_COMMIT_BEFORE = {"fold": Point.FOLDED, "send": Point.CLAIMED, "announce": Point.GATHERED, "": Point.RECORDED}
_COMMIT_AFTER = {"fold": Point.FOLDED, "send": Point.RECORDED, "announce": Point.MARKED, "": Point.RECORDED}


@dataclass
class Task:
    """A step that has begun. `point`: where it stands; `asleep_until_s`: not run before. `looked`: between the poll and
    its batch the fold has looked."""

    name: str
    coroutine: Coroutine[Any, Any, Any]
    began_s: float
    point: Point | None = None
    asleep_until_s: float = 0.0
    acted: bool = False
    looked: bool = False

    def run(self) -> bool:
        """Go on to the next point. True: the step is over."""
        try:
            pause: Pause = self.coroutine.send(None)
        except StopIteration:
            return True
        kind = "fold" if self.name.startswith(("read", "fold", "look", "join", "gate")) else ""
        kind = "send" if self.name in SENDERS else "announce" if self.name.startswith("announce") else kind
        self.acted = self.acted or pause.point in {Point.ANSWERED, Point.PUBLISHED}
        self.point = pause.point or (_COMMIT_AFTER if self.acted else _COMMIT_BEFORE)[kind]
        return False


@dataclass
class Outside:
    """What a process has around it."""

    clock: Clock
    broker: Broker
    cloud: Cloud
    database: ModelDatabase


@dataclass
class Process:
    """One replica. `targets`: the partitions that the group wants it to have, by topic; it may not know yet. `ahead`:
    what was read of each topic and is not stored yet: a batch at which the fold is, and one that waits."""

    service: str
    number: int
    outside: Outside
    targets: dict[str, frozenset[TopicPartition]]
    steps: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    folds: dict[str, Fold] = field(default_factory=dict)
    consumers: dict[str, Consumer] = field(default_factory=dict)
    ahead: dict[str, list[Received]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        self.database = cast("Database", self.outside.database)
        self.gate = Gate(self.database, [OWN[self.service].name], self._ends(OWN[self.service]))
        self.producer = cast("Producer", SimpleNamespace(publish=self._publish))
        self.steps["gate"] = self._open_gate
        {"linker": self._linker, "transfer": self._transfer, "cloud_updater": self._updater}[self.service]()
        self._loop(
            "announce_dead_letters",
            dead_letter_announcer(dlq_of(self.service), self.database, self.producer).step,  # type: ignore[arg-type]
            gated=False,
        )

    def _linker(self) -> None:
        self._fold(RECORDING_PROCESSED, linker_lists)
        self._fold(RECORDING_TRANSFERRED, linker_places)
        self._fold(CLOUD_TICKET_UPDATED, linker_shows)
        self._fold(TICKET_LINKED, linker_hears, news=new_own_links)
        self._fold(TICKET_LINK_REQUESTED, fold_ticket_link_requested, needs_gate=True)
        self._loop("match_parked", MatchParked(self.database, self.gate).step)
        self._announcer("announce_links", linker_store.unheard, linker_store.facts)

    def _transfer(self) -> None:
        self._fold(RECORDING_PROCESSED, partial(transfer_wants, waits=TRANSFER.waits))
        self._fold(TICKET_LINKED, partial(transfer_keeps, waits=TRANSFER.waits))
        self._fold(RECORDING_TRANSFERRED, transfer_hears, news=new_own_transfers)
        lane = self._lane(_retry_uploads, repeatable_with=IDEMPOTENCY_KEY)
        uploading = UploadRecordings(TRANSFER, TIME_LIMIT_S, self.database, self.gate, lane.cloud, lane)
        uploading._claim_one = _alone(uploading._claim)  # type: ignore[assignment]  # one worker shares with nobody
        uploading._record_one = _alone(uploading._record)  # type: ignore[assignment]
        self._loop("upload_recordings", uploading.step)
        self._loop("two_uploads", partial(_two_uploads, uploading, self.outside.cloud.fired))
        self._announcer("announce_transfers", transfer_store.unheard, transfer_store.facts)

    def _updater(self) -> None:
        quiet = Quiet(UPDATER.push_quiet_s, UPDATER.push_quiet_max_s)
        self._fold(TICKET_LINKED, partial(updater_wants, quiet=quiet), news=new_links)
        self._fold(RECORDING_TRANSFERRED, partial(updater_places, quiet=quiet), news=new_transfers)
        self._fold(CLOUD_TICKET_UPDATED, updater_hears, news=new_acknowledgements)
        self._fold(TICKET_SYNC_REQUESTED, fold_ticket_sync_requested)
        lane = self._lane(_retry_pushes, route="ticket-info")
        pushing = PushTickets(UPDATER, TIME_LIMIT_S, self.database, self.gate, lane.cloud, lane)
        pushing._claim_one = _alone(pushing._claim)  # type: ignore[assignment]
        pushing._acknowledge_one = _alone(pushing._acknowledge)  # type: ignore[assignment]
        self._loop("push_tickets", pushing.step)
        self._loop("push_again", PushAgain(self.database, self.gate, UPDATER.second_push_after_s).step)
        ends = self._ends(RECORDING_TRANSFERRED, TICKET_LINKED)
        self._loop("expand_resyncs", ExpandResyncs(self.database, self.gate, ends).step)
        lot = updater_store.next_lot
        once = OnceAnnouncer("announce_updates", self.database, self.producer, lot, gate=self.gate)
        self._loop("announce_updates", once.step)

    @property
    def pushed_late(self) -> bool:
        """Whether it has sent a push beyond its time limit, and has not written that down yet."""
        return "push_tickets" in self.tasks and self.client.sent_late

    def start(self, name: str) -> Task | None:
        """The task of this name, begun if it is not under way. None: it has nothing to do."""
        if name in self.tasks:
            return self.tasks[name]
        kind, _, topic = name.partition(":")
        if kind == "read" and not self._may_poll(topic):
            return None
        if kind == "fold" and (not self.ahead[topic] or f"look:{topic}" in self.tasks):
            return None
        if kind == "look" and not self._may_look(topic):
            return None
        if kind == "join" and self.targets[topic] == self.consumers[topic].assigned:
            return None
        if kind == "gate" and self.gate.is_open:
            return None
        if name == "push_tickets":
            self.client.sent_late, self.client.pushed_to = False, None
        if kind == "look" and f"read:{topic}" in self.tasks:
            self.tasks[f"read:{topic}"].looked = True
        self.tasks[name] = Task(name, self.steps[name](), self.outside.clock.monotonic_s)
        return self.tasks[name]

    def _may_poll(self, topic: str) -> bool:
        return self.consumers[topic].lags and len(self.ahead[topic]) < AHEAD_MAX

    def _may_look(self, topic: str) -> bool:
        """Not under the fold's lock; and of two looks, a second apart, only one falls between a poll and its batch."""
        reading = self.tasks.get(f"read:{topic}")
        return f"fold:{topic}" not in self.tasks and not (reading and reading.looked)

    def stop(self) -> None:
        """Drop everything."""
        for task in self.tasks.values():
            task.coroutine.close()
        self.tasks.clear()
        self.ahead.clear()

    def _fold(self, topic: Topic, apply: Apply, *, news: News | None = None, needs_gate: bool = False) -> None:
        own = topic is OWN[self.service]
        fold = Fold(
            service=self.service,
            topic=topic,
            apply=apply,
            news=news,
            database=self.database,
            gate=self.gate,
            wake=lambda _: None,
            batch_records=10,
            limit=DeadLetterLimit(topic.name, percent=50),
            own=own,
            forget_heard=getattr(*FORGET_HEARD[self.service]) if own else None,
            needs_gate=needs_gate,
        )
        consumer = Consumer(self.outside.broker)
        fold._subscriber = SimpleNamespace(consumer=consumer)
        self.folds[topic.name], self.consumers[topic.name] = fold, consumer
        self.targets.setdefault(topic.name, frozenset())
        self.steps[f"join:{topic.name}"] = partial(self._join, topic.name)
        self.steps[f"read:{topic.name}"] = partial(self._read, topic.name)
        self.steps[f"fold:{topic.name}"] = partial(self._store, topic.name)
        self.steps[f"look:{topic.name}"] = partial(self._look, topic.name)

    def _loop(self, name: str, step: Callable[[], Awaitable[float | None]], *, gated: bool = True) -> None:
        self.steps[name] = Loop(name, step, gate=self.gate if gated else None)._try_step

    def _announcer(self, name: str, unheard: Any, facts: Any) -> None:  # noqa: ANN401  # as Announcer takes them
        self._loop(
            name,
            Announcer(name, self.database, self.gate, self.producer, unheard, facts, UPDATER.announce_again_s).step,
        )

    def _lane(
        self,
        retry_now: Callable[[AsyncConnection], Awaitable[None]],
        *,
        route: str | None = None,
        repeatable_with: str | None = None,
    ) -> Lane:
        self.client = Client(self.service, self.outside.cloud, self.outside.clock)
        client = cast("RealCloud", self.client)
        lane = Lane(
            self.database,
            client,
            retry_now,
            lambda: None,
            ping_every_s=60,
            route=route,
            repeatable_with=repeatable_with,
        )
        self._loop("ping_cloud", lane.ping, gated=False)
        return lane

    def _ends(self, *topics: Topic) -> Callable[[], Awaitable[Mapping[TopicPartition, int]]]:
        async def ends() -> Mapping[TopicPartition, int]:
            return self.outside.broker.ends({topic.name for topic in topics})

        return ends

    async def _publish(self, records: list[Outgoing]) -> None:
        failing = self.outside.broker.failing[self.service]
        taken, acknowledged = failing.pop() if records and failing else (len(records), True)
        for one in records[:taken]:
            place = self.outside.broker.append(one)
            if acknowledged and one.topic == OWN[self.service].name:
                partition = TopicPartition(place.topic, place.partition)
                self.folds[one.topic].published(Published(partition, place.offset, [one], as_batch(place)))
        if taken < len(records) or not acknowledged:
            how = "in part" if 0 < taken < len(records) else "unheard" if taken else "for nothing"
            self.outside.broker.fired[f"a publication failed {how}"] += 1
            raise KafkaConnectionError
        await Pause(Point.PUBLISHED)

    async def _open_gate(self) -> None:
        with suppress(OSError):
            await self.gate._try_to_open()

    async def _join(self, topic: str) -> None:
        fold, consumer = self.folds[topic], self.consumers[topic]
        await fold.on_partitions_revoked(consumer.assigned)
        consumer.assign(self.targets[topic])
        await fold.on_partitions_assigned(consumer.assigned)

    async def _read(self, topic: str) -> None:
        while self._may_poll(topic):
            batch = self.consumers[topic].poll(self.folds[topic]._standing.own_records)
            looking = self.tasks[f"read:{topic}"].looked = f"look:{topic}" in self.tasks
            await Pause(Point.POLLED)
            if batch:
                self.ahead[topic].append(await self.folds[topic]._take_in(batch))
                self.outside.broker.fired["a batch came while its fold looked"] += looking
                self.outside.broker.fired["a batch was read ahead"] += len(self.ahead[topic]) == AHEAD_MAX

    async def _store(self, topic: str) -> None:
        while self.ahead[topic]:
            await self.folds[topic]._try_to_fold(self.ahead[topic][0])
            del self.ahead[topic][0]
            bug = self.folds[topic]._error
            if bug is not None:
                raise bug

    async def _look(self, topic: str) -> None:
        with suppress(OSError):
            await self.folds[topic]._look()


async def _two_uploads(uploading: UploadRecordings, fired: Counter[str]) -> float | None:
    """The step of two workers that claim and record together; what they send goes one after the other."""
    try:
        found = await uploading._claim([None, None])
    except LaneShut as shut:
        return shut.retry_s
    answered = [(one, await uploading._answer(one)) for one in found if isinstance(one, Claimed)]
    fired["two uploads were recorded together"] += len(answered) > 1
    if answered:
        await uploading._record(answered)
    for one, outcome in answered:
        await uploading._tell_the_lane(one, outcome)
    return 0 if answered else None


def _alone(act: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    async def call(item: object) -> object:
        return (await act([item]))[0]

    return call


async def _retry_uploads(connection: AsyncConnection) -> None:
    await Conclusions(connection).retry_now()


async def _retry_pushes(connection: AsyncConnection) -> None:
    await Pushes(connection).retry_now()
