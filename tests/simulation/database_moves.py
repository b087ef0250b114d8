"""What happens to the databases: commits that are not heard of, clocks that jump, databases lost and set back."""

from typing import TypeVar

from aiokafka import TopicPartition

from schemas.events import RecordingTransferred, TicketLinked
from tests.simulation.linker_store import LinkerTables
from tests.simulation.oracle import order_of
from tests.simulation.processes import OWN
from tests.simulation.stage import TABLES, Stage
from tests.simulation.transfer_store import TransferTables

OWN_TOPICS = frozenset(one.name for one in OWN.values())
E = TypeVar("E", TicketLinked, RecordingTransferred)


class DatabaseMoves(Stage):
    """Moves that change a database under its running processes."""

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

    def _may_lose(self, service: str) -> bool:
        """Whether what is lost can come back: from topics that hold it still, and nothing that stood only there."""
        chosen = service == "linker" and self.shape.by_name
        if service == "cloud_updater":
            late = any(self.processes[service, number].pushed_late for number in range(self.shape.replicas))
            chosen = bool(self.tables(service).duty) or late  # that something is to be pushed once more
        # An acknowledgement that its topic has lost costs one more push, and nothing else.
        return not chosen and (service == "cloud_updater" or not self.still_lost(OWN[service].name))

    def still_lost(self, topic: str) -> set[str]:
        """Recordings of which a service's own topic has lost the newest fact, and which has not come again."""
        newest: dict[str, tuple[int, ...]] = {}
        for place, log in self.broker.logs.items() if self.lost[topic] else ():
            for record in log if place.topic == topic else ():
                if event := self.oracle.event_of(record):
                    recording, order = order_of(event)
                    newest[recording] = max(order, newest.get(recording, ()))
        return {one for one, order in self.lost[topic].items() if newest.get(one, ()) < order}

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
