"""What every move of a run acts on: clock, broker, cloud, three databases and the processes, and how these go on.

A process goes on by one step, to the next point at which it may be stopped (points.py), or until it has nothing to do.
"""

import random
from collections import Counter, defaultdict
from typing import Any

from aiokafka import TopicPartition

from shared.producer import Outgoing
from tests.simulation import clock as clocks
from tests.simulation.broker import PARTITIONS, Broker
from tests.simulation.clock import Clock
from tests.simulation.cloud import Cloud
from tests.simulation.database import ModelDatabase, Tables
from tests.simulation.linker_store import LinkerTables
from tests.simulation.oracle import Oracle
from tests.simulation.processes import SERVICES, Outside, Process
from tests.simulation.themes import Shape
from tests.simulation.transfer_store import TransferTables
from tests.simulation.truth import Truth
from tests.simulation.updater_store import UpdaterTables

TABLES: dict[str, type[Tables]] = {
    "linker": LinkerTables,
    "transfer": TransferTables,
    "cloud_updater": UpdaterTables,
}
STEPS_MAX = 60


class Stage:
    """`fired`: what has really happened, by name. `running`: which step of which process.

    `lost`: by own topic and recording, the order of the newest fact that Kafka has lost; see `still_lost`.
    `wiped`: the cloud has forgotten tickets; `resyncs_forgotten`: cloud_updater has lost which resyncs it has done.
    """

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
        self.running = ""
        self.databases = {one: self._database(one) for one in SERVICES}
        self.oracle.transfer, self.oracle.transfer_sleeps = self.databases["transfer"], self._transfer_sleeps
        self._copies: dict[str, dict[str, dict[Any, Any]]] = {}
        self._spoken: list[Outgoing] = []
        self.lost: dict[str, dict[str, tuple[int, ...]]] = defaultdict(dict)
        self._unsaid: list[Outgoing] = []
        self.wiped = False
        self.resyncs_forgotten = False
        self.processes: dict[tuple[str, int], Process] = {}
        for service in SERVICES:
            for number in range(shape.replicas):
                self._start(service, number, {})
        for service in SERVICES:
            for topic in self.processes[service, 0].folds:
                self.rebalance(service, topic, tuple(one % shape.replicas for one in range(PARTITIONS)))
        self.fired.clear()

    def tables(self, service: str) -> Any:  # noqa: ANN401  # of that service
        """The rows of a service."""
        return self.databases[service].tables

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
        self.running = f"{process.service}.{process.number} {name}"
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

    def rebalance(self, service: str, topic: str, owners: tuple[int, ...]) -> None:
        """The group has other plans; each process hears of it when it joins."""
        for number in range(self.shape.replicas):
            places = (TopicPartition(topic, one) for one, owner in enumerate(owners) if owner == number)
            process = self.processes[service, number]
            held = process.consumers[topic].assigned
            process.targets[topic] = frozenset(places)
            if held - process.targets[topic]:
                self.fired["a rebalance left a zombie owner"] += 1

    def nap(self, service: str, number: int, name: str, seconds: float) -> None:
        """A task that stands still goes on after so long, and not before."""
        task = self.processes[service, number].tasks.get(name)
        if task:
            task.asleep_until_s = self.clock.monotonic_s + seconds

    def advance(self, seconds: float) -> None:
        """Time passes."""
        self.clock.monotonic_s += seconds

    def _finish(self, process: Process, name: str) -> None:
        if name in process.tasks:
            process.tasks[name].asleep_until_s = 0.0
        for _ in range(STEPS_MAX):
            if not self._step(process, name):
                break

    def _capabilities(self) -> frozenset[str]:
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
        return ModelDatabase(service, self.clock, tables, committed, lambda: self.running.partition(" ")[2])

    def _start(self, service: str, number: int, targets: dict[str, frozenset[TopicPartition]]) -> None:
        database = self.databases[service]
        if self.shape.replicas == 1:
            database.tables.free_leases(database.now)
        outside = Outside(self.clock, self.broker, self.cloud, database)
        self.processes[service, number] = Process(service, number, outside, targets)

    def _settle_the_late(self) -> None:
        for place in reversed(range(len(self.cloud.late))):
            if self.cloud.late[place].call == "update_ticket":
                self.cloud.let_through(place)
