"""The world of one run: clock, broker, cloud, three databases and the processes; a move changes it.

A move is a value and has the same effect whenever the moves before it were the same, so a run is its list of moves. One
that makes no sense in the present state does nothing, so any list is a run: that is what shrinking needs.
"""

import random
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

from aiokafka import TopicPartition

from schemas.envelope import encode
from schemas.events import (
    Event,
    RecordingProcessed,
    RecordingTransferred,
    TicketDetails,
    TicketLinked,
    TicketLinkRequested,
    TicketSyncRequested,
)
from schemas.topics import TOPICS
from shared.producer import Outgoing
from tests.simulation import clock as clocks
from tests.simulation import plumbing_store
from tests.simulation.broker import PARTITIONS, Broker
from tests.simulation.clock import Clock
from tests.simulation.cloud import KEYS, Cloud
from tests.simulation.database import ModelDatabase, Tables
from tests.simulation.linker_store import LinkerTables
from tests.simulation.oracle import Oracle, Violation
from tests.simulation.processes import OWN, SERVICES, Outside, Process
from tests.simulation.themes import Shape
from tests.simulation.transfer_store import TransferTables
from tests.simulation.truth import Asked, Truth
from tests.simulation.updater_store import UpdaterTables

TABLES: dict[str, type[Tables]] = {
    "linker": LinkerTables,
    "transfer": TransferTables,
    "cloud_updater": UpdaterTables,
}
STEPS_MAX = 60
OWN_TOPICS = frozenset(one.name for one in OWN.values())
RECORDINGS = {"R1": "Monday", "R2": "Monday", "R3": "Tuesday"}


E = TypeVar("E", TicketLinked, RecordingTransferred)


class Move(NamedTuple):
    """`kind` is the name of one of World's moves."""

    kind: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(map(repr, self.args))})"


class World:
    """`fired`: what has really happened, by name."""

    def __init__(self, shape: Shape, seed: int) -> None:
        random.seed(seed)  # the product's jitter
        self.shape = shape
        self.fired: Counter[str] = Counter()
        self.clock = Clock()
        clocks.begin(self.clock)
        self.truth = Truth()
        self.oracle = Oracle(self.truth)
        self.broker = Broker(self.clock.now, self.oracle.appended)
        self.cloud = Cloud(self.clock, self._capabilities(), self.oracle.effected, self.oracle.sent_again)
        self.oracle.broker, self.oracle.cloud = self.broker, self.cloud
        self._running = ""
        self.databases = {one: self._database(one) for one in SERVICES}
        self.oracle.transfer, self.oracle.transfer_sleeps = self.databases["transfer"], self._transfer_sleeps
        self._copies: dict[str, dict[str, dict[Any, Any]]] = {}
        self._frozen_then: set[str] = set()
        self._spoken: list[Outgoing] = []
        self.processes: dict[tuple[str, int], Process] = {}
        for service in SERVICES:
            for number in range(shape.replicas):
                self._start(service, number, {})
        for service in SERVICES:
            for topic in self.processes[service, 0].folds:
                self.rebalance(service, topic, tuple(one % shape.replicas for one in range(PARTITIONS)))
        self.fired.clear()

    def apply(self, move: Move) -> None:
        """Do it. Raises Violation."""
        doing: Callable[..., None] = getattr(self, move.kind)
        try:
            doing(*move.args)
        except (Violation, AssertionError):
            raise
        except Exception as error:
            raise Violation(f"{type(error).__name__} in {self._running}: {error}") from error

    def tables(self, service: str) -> Any:  # noqa: ANN401  # of that service
        """The rows of a service."""
        return self.databases[service].tables

    # What happens inside.

    def run(self, service: str, number: int, name: str) -> None:
        """One task, to its next point."""
        self._step(self.processes[service, number], name)

    def go(self, service: str, number: int, until: str | None = None) -> None:
        """Every task of a process that is awake, to its end; or until one stands at this point."""
        process = self.processes[service, number]
        for name in process.steps:
            for _ in range(STEPS_MAX):
                if not self._step(process, name):
                    break
                if until and process.tasks[name].point == until:
                    return

    def _step(self, process: Process, name: str) -> bool:
        task = process.start(name)
        if task is None or task.asleep_until_s > self.clock.monotonic_s:
            return False
        if task.asleep_until_s:
            self.fired["a sleeper woke after its lease"] += 1
            task.asleep_until_s = 0.0
        self._running = f"{process.service}.{process.number} {name}"
        if task.run():
            process.tasks.pop(name, None)
            return False
        return True

    def crash(self, service: str, number: int, at: str | None = None) -> None:
        """A process dies where its tasks stand, or goes on until one stands at this point, and is started again."""
        if at:
            self.go(service, number, until=at)
        process = self.processes[service, number]
        if process.pushed_late:
            self._finish(process, "push_tickets")  # that it was late, it alone knows: this moment is not survived
        for task in process.tasks.values():
            self.fired[f"crash at {task.point}"] += 1
        process.stop()
        self._start(service, number, process.targets)

    def nap(self, service: str, number: int, name: str, seconds: float) -> None:
        """A task that stands still goes on after so long, and not before."""
        task = self.processes[service, number].tasks.get(name)
        if task:
            task.asleep_until_s = self.clock.monotonic_s + seconds

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.clock.monotonic_s += seconds

    # What happens to the machines.

    def jump(self, service: str, seconds: float) -> None:
        """A database's clock is set forward or back."""
        if service == "cloud_updater":
            self._settle_the_late()  # a second push that comes too early is no fault of the bookkeeping
        self.clock.offsets_s[service] = self.clock.offsets_s.get(service, 0.0) + seconds
        self.fired["a clock jumped"] += 1

    def commit_fails(self, service: str, takes_place: bool) -> None:  # noqa: FBT001  # an argument of a move
        """The next commit of this database is not heard of."""
        self.databases[service].commits_fail.append(takes_place)

    def back_up(self, service: str) -> None:
        """Keep a copy of a database."""
        self._copies[service] = self.tables(service).copy()

    def set_back(self, service: str) -> None:
        """The newest copy takes the database's place, under the running processes."""
        if service in self._copies and self._may_lose(service):
            self._about_to_lose(service)
            copy = {name: dict(rows) for name, rows in self._copies[service].items()}
            self.tables(service).put_back(copy)
            self.fired["a database was set back"] += 1

    def lose(self, service: str) -> None:
        """The database is gone; an empty one takes its place."""
        if self._may_lose(service):
            self._about_to_lose(service)
            self.databases[service].tables = TABLES[service](self.databases[service].now)
            self._copies.pop(service, None)
            self.fired["a database was lost"] += 1

    def rebalance(self, service: str, topic: str, owners: tuple[int, ...]) -> None:
        """The group has other plans; each process hears of it when it joins."""
        for number in range(self.shape.replicas):
            places = (TopicPartition(topic, one) for one, owner in enumerate(owners) if owner == number)
            process = self.processes[service, number]
            held = process.consumers[topic].assigned
            process.targets[topic] = frozenset(places)
            if held - process.targets[topic]:
                self.fired["a rebalance left a zombie owner"] += 1

    def replay(self, service: str, topic: str, offset: int) -> None:
        """An operator lets a service read a topic again, all partitions from this offset."""
        if plumbing_store.replay(self.tables(service), topic, dict.fromkeys(range(PARTITIONS), offset)):
            self.fired["a topic was replayed"] += 1

    def compact(self, topic: str, partition: int) -> None:
        """Older records of a key go."""
        if self.broker.compact(TopicPartition(topic, partition)):
            self.fired["compaction"] += 1

    def make_anew(self, topic: str) -> None:
        """A topic is deleted and made anew, when all that it said is known to those who keep it."""
        ends = self.broker.ends({topic})
        readers = [self.tables(one) for one in SERVICES if topic in self.processes[one, 0].folds]
        read = all(rows.position.get(tuple(place), 0) >= end for rows in readers for place, end in ends.items())
        if read and any(ends.values()):
            self.broker.make(topic)
            self.oracle.must_have_read = {
                one: ends for one, ends in self.oracle.must_have_read.items() if OWN[one].name != topic
            }
            self._copies.clear()
            self._gone.add(topic)
            self._all_look_at(topic)
            self.fired["a topic was made anew"] += 1

    # What happens in the cloud.

    def arm(self, service: str, fault: str) -> None:
        """The next request of this service meets a fault."""
        if len(self.cloud.armed[service]) < 3:
            self.cloud.armed[service].append(fault)

    def let_through(self, place: int) -> None:
        """A late effect takes place."""
        if self.cloud.late and self.cloud.let_through(place % len(self.cloud.late)):
            self.fired["a late effect took place"] += 1

    def lose_keys(self) -> None:
        """The cloud honours keys no longer, while an upload is in doubt; transfer hears of it with a ping."""
        if KEYS in self.cloud.capabilities and self.tables("transfer").upload_request:
            for place in reversed(range(len(self.cloud.late))):
                self.cloud.let_through(place)  # what is under way within the cloud is of before
            self.cloud.capabilities -= {KEYS}
            self.fired["the cloud honours keys no longer"] += 1

    def outage(self, seconds: float, answers_pings: bool) -> None:  # noqa: FBT001  # arguments of a move
        """The cloud does nothing for so long."""
        self.cloud.out_until_s = self.clock.monotonic_s + seconds
        self.cloud.answers_pings = answers_pings

    def lose_folder(self, place: int) -> None:
        """The cloud loses a folder."""
        present = [one for one in self.cloud.folders.values() if not one.lost and one.files]
        if present:
            present[place % len(present)].lost = True
            self.fired["the cloud lost a folder"] += 1

    def wipe_tickets(self, request: int) -> None:
        """The cloud forgets all tickets, and somebody asks for all of them again."""
        if self.cloud.log and not self.cloud.late and not self._untold():
            for folder in self.cloud.folders.values():
                for file in folder.files:
                    file.ticket_id, file.link_version = None, 0
            self.resync(f"wiped-{request}", "all", force=True)
            self.wiped = True
            self.fired["the receiver was wiped"] += 1

    # What others say.

    def process(self, recording: str, revision: int) -> None:
        """RecordingProcessed."""
        fact = RecordingProcessed.model_validate(
            {
                "recording_id": recording,
                "folder_id": RECORDINGS[recording],
                "folder_name": RECORDINGS[recording],
                "filename": f"{recording}.wav",
                "size_bytes": 1,
                "token": 1,
                "transcript": f"words {revision}",
                "requires_ticket": recording != "R2",
                "processed_at": clocks.BEGINNING,
                "revision": revision,
            }
        )
        self.truth.recordings[recording] = (RECORDINGS[recording], f"{recording}.wav")
        self._say(fact, recording)

    def ask(self, request: int, recording: str, ticket: int | None, age_s: float, by_name: bool) -> None:  # noqa: FBT001
        """TicketLinkRequested, `age_s` after it was made; ticket None is an unlink."""
        asked_at = self.clock.now() - timedelta(seconds=age_s)
        named = {"filename": f"{recording}.wav"} if by_name and self.shape.by_name else {"recording_id": recording}
        event = TicketLinkRequested.model_validate(
            {
                "request_id": f"request-{request}",
                "requested_at": asked_at,
                "ticket_info": None if ticket is None else TicketDetails(ticket_id=f"T-{ticket}"),
                **named,
            }
        )
        order = (asked_at, f"request-{request}")
        self.truth.asked.append(Asked(recording, order, None if ticket is None else f"T-{ticket}"))
        self._say(event, f"request-{request}")

    def resync(self, request: str, folder: str, force: bool) -> None:  # noqa: FBT001  # arguments of a move
        """TicketSyncRequested."""
        selected: dict[str, object] = {"all": True} if folder == "all" else {"folder_id": folder}
        if folder in RECORDINGS:
            selected = {"recording_ids": [folder]}
        event = TicketSyncRequested.model_validate(
            {"request_id": request, "requested_at": self.clock.now(), "requested_by": "ops", "force": force, **selected}
        )
        self._say(event, request)
        self.fired["a resync was asked for"] += 1

    def poison(self, topic: str, what: int) -> None:
        """A record that is no event."""
        value = (b"{", b'{"recording_id": 1}', b"\xff")[what]
        self.broker.append(Outgoing(topic, b"poison", value, ()))
        self.fired["a poison record"] += 1

    def say_again(self, place: int) -> None:
        """A publisher sends something once more, whatever came since."""
        if self._spoken:
            self.broker.append(self._spoken[place % len(self._spoken)])
            self.fired["a duplicate, out of order"] += 1

    def _say(self, event: Event, key: str) -> None:
        topic = next(one for one in TOPICS if one.event is type(event))
        encoded = encode(event, source="world", event_id=key, time=self.clock.now())
        self._spoken.append(Outgoing(topic.name, key.encode(), encoded.value, encoded.headers))
        self.broker.append(self._spoken[-1])

    # Helpers, in the order of their first use.

    def _all_look_at(self, topic: str) -> None:
        """Everybody joins and looks once a second; a topic that grows beyond its old end before that looks unchanged.

        So one that has just been started, is asleep or fails to commit is waited for: stopped services are not promised
        to notice.
        """
        readers = [one for one in self.processes.values() if topic in one.folds]
        ends = self.broker.ends({topic})
        for _ in range(STEPS_MAX):
            for process in readers:
                for name in (f"fold:{topic}", f"join:{topic}", f"look:{topic}"):
                    self._finish(process, name)
            rows = [self.tables(one.service).position for one in readers]
            if all(row.get(tuple(place), 0) <= end for row in rows for place, end in ends.items()):
                break

    def _finish(self, process: Process, name: str) -> None:
        if name in process.tasks:
            process.tasks[name].asleep_until_s = 0.0
        for _ in range(STEPS_MAX):
            if not self._step(process, name):
                break

    _gone: set[str] = set()  # noqa: RUF012  # replaced in the instance
    wiped = False
    resyncs_forgotten = False

    def _capabilities(self) -> frozenset[str]:
        self._gone = set()
        named = {"ticket-info", "read"}
        named |= {"idempotency-key"} if self.shape.honours_keys else set()
        return frozenset(named | ({"link-version"} if self.shape.compares_versions else set()))

    def _transfer_sleeps(self) -> bool:
        processes = (self.processes["transfer", number] for number in range(self.shape.replicas))
        return any(task.asleep_until_s for process in processes for task in process.tasks.values())

    def _database(self, service: str) -> ModelDatabase:
        def committed(task: str, before: dict[str, dict[Any, Any]]) -> None:
            self.oracle.committed(self.databases[service], task, before)

        tables = TABLES[service](self.clock.now())
        return ModelDatabase(service, self.clock, tables, committed, lambda: self._running.partition(" ")[2])

    def _start(self, service: str, number: int, targets: dict[str, frozenset[TopicPartition]]) -> None:
        database = self.databases[service]
        if self.shape.replicas == 1:
            database.tables.free_leases(database.now)
        outside = Outside(self.clock, self.broker, self.cloud, database)
        self.processes[service, number] = Process(service, number, outside, targets)

    def _untold(self) -> bool:
        """Whether an upload is under way: a resync selects what is known to be there."""
        told = {
            (fact.clouds_uuid, fact.file.filename)
            for place, log in self.broker.logs.items()
            if place.topic == OWN["transfer"].name
            for fact in map(self.oracle.event_of, log)
            if isinstance(fact, RecordingTransferred)
        }
        return any((one.uuid, one.filename) not in told for one in self.cloud.log)

    def _may_lose(self, service: str) -> bool:
        """Whether what is lost can come back: from topics that hold it still, and nothing that stood only there."""
        chosen = service == "linker" and self.shape.by_name
        if service == "cloud_updater":
            late = any(self.processes[service, number].pushed_late for number in range(self.shape.replicas))
            chosen = bool(self.tables(service).duty) or late  # that something is to be pushed once more
        return not chosen and not self._gone & self.processes[service, 0].folds.keys()

    def _about_to_lose(self, service: str) -> None:
        own = OWN[service].name
        rows = self.tables(service).position
        seen = {TopicPartition(*place): offset for place, offset in rows.items() if place[0] == own}
        for number in range(self.shape.replicas):
            # Every process looks at least once a second; nobody replaces a database faster than that.
            self.processes[service, number].gate.compare(seen, seen={})
        if any(seen.values()):
            # Nothing shows the loss of a database that had folded none of its own facts.
            self.oracle.must_have_read[service] = self.broker.ends({own})
        if service == "linker":
            self._let_versions_meet(seen)
        if service == "transfer":
            self._excuse(seen)
        if service == "cloud_updater":
            self.resyncs_forgotten = True
            self._settle_the_late()  # what was to be pushed once more is known nowhere else
            for number in range(self.shape.replicas):
                self.crash(service, number)

    def _let_versions_meet(self, heard: dict[TopicPartition, int]) -> None:
        """Versions that linker has given and not heard back: they may be given again.

        Of those that were not published nobody else knows. The others may be missed by a process that looks only once
        another has read the new database to where the lost one stood.
        """
        rows: LinkerTables = self.tables("linker")
        told = {one: fact.link_version for one, fact in self._last_words(TicketLinked, heard).items()}
        self.oracle.versions_may_meet |= {
            (one, version)
            for one, row in rows.link.items()
            for version in range(told.get(one, 0) + 1, row.link_version + 1)
        }

    def _excuse(self, heard: dict[TopicPartition, int]) -> None:
        """Uploads that may have been sent and were not heard back, which transfer's database alone knows for sure."""
        rows: TransferTables = self.tables("transfer")
        told = self._last_words(RecordingTransferred, heard)
        for request in rows.upload_request.values():
            self.oracle.under_way.add(str(request.id))
            for file in request.files:
                self.truth.excused[file.recording_id].add(str(request.id))
        for recording, (_, filename) in self.truth.recordings.items():
            if recording not in told:
                keys = {one.key for one in self.cloud.log if one.filename == filename and one.key}
                self.truth.excused[recording] |= keys

    def _last_words(self, kind: type[E], heard: dict[TopicPartition, int] | None = None) -> dict[str, E]:
        """By recording, the fact of this kind with the newest link that a topic holds, before `heard` if given."""
        facts: dict[str, E] = {}
        for place, log in self.broker.logs.items():
            for record in log:
                if heard is not None and record.offset >= heard.get(place, 0):
                    continue
                fact = self.oracle.event_of(record) if record.topic in OWN_TOPICS else None
                if isinstance(fact, kind):
                    known = facts.get(fact.recording_id, fact)
                    facts[fact.recording_id] = fact if fact.link_version >= known.link_version else known
        return facts

    def _settle_the_late(self) -> None:
        for place in reversed(range(len(self.cloud.late))):
            if self.cloud.late[place].call == "update_ticket":
                self.cloud.let_through(place)
