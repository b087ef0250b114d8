"""What happens to the topics: records that Kafka does not take, or takes and loses, and topics that are made anew.

A topic that is shorter than what was read of it is noticed by whoever looks before it has grown again, which all do
here. What was on it is said again: by its publishers, or, if it is a service's own, by that service, from its rows. So
nothing is lost on a topic that its publisher's database does not know (any more, or yet): of that no one else knows.
"""

from aiokafka import TopicPartition

from shared.producer import Outgoing
from shared.record import Record
from tests.simulation import plumbing_store
from tests.simulation.broker import PARTITIONS
from tests.simulation.database_moves import OWN_TOPICS, DatabaseMoves
from tests.simulation.oracle import order_of, says
from tests.simulation.processes import OWN, SERVICES
from tests.simulation.stage import STEPS_MAX

COME_BACK = ("TicketLinked", "RecordingTransferred")
PUBLISHERS = {topic.name: service for service, topic in OWN.items()}


class TopicMoves(DatabaseMoves):
    """Moves that change what a topic holds, or who reads it from where."""

    def replay(self, service: str, topic: str, offset: int) -> None:
        """An operator lets a service read a topic again, all partitions from this offset."""
        if plumbing_store.replay(self.tables(service), topic, dict.fromkeys(range(PARTITIONS), offset)):
            self.fired["a topic was replayed"] += 1

    def compact(self, topic: str, partition: int) -> None:
        """Older records of a key go."""
        if self.broker.compact(TopicPartition(topic, partition)):
            self.fired["compaction"] += 1

    def publish_fails(self, service: str, taken: int, acknowledged: bool) -> None:  # noqa: FBT001  # arguments of a move
        """Of what this service publishes next Kafka takes so many records; whether it says so of these or not."""
        if len(self.broker.failing[service]) < 3:
            self.broker.failing[service].append((taken, acknowledged))

    def lose_record(self, topic: str, partition: int) -> None:
        """Kafka loses what it has acknowledged last, as after a crash of its machines; the next gets its offset."""
        place = TopicPartition(topic, partition)
        last = self.broker.last(place)
        if last is None or not self._known_to_its_publisher(last):
            return
        read = self._is_read(last)
        self.broker.lose_last(place)
        self._is_lost([last], {place: last.offset})
        if read:
            self._all_look_at(topic)
        self.fired[f"a record was lost {'after' if read else 'before'} it was read"] += 1

    def make_anew(self, topic: str) -> None:
        """A topic is deleted and made anew, whoever has read it; others publish again what they have published."""
        ends = self.broker.ends({topic})
        records = [record for place in ends for record in self.broker.logs[place]]
        if not any(ends.values()) or not all(map(self._known_to_its_publisher, records)):
            return
        readers = [self.tables(one) for one in SERVICES if topic in self.processes[one, 0].folds]
        read = all(rows.position.get(tuple(place), 0) >= end for rows in readers for place, end in ends.items())
        self.broker.make(topic)
        self._is_lost(records, dict.fromkeys(ends, 0))
        self._all_look_at(topic)
        self.fired[f"a topic was made anew {'after' if read else 'before'} it was read"] += 1
        if topic not in OWN_TOPICS:
            self.say_the_lost()

    def unread(self) -> list[tuple[str, int]]:
        """Partitions that end with a fact which must come back to its service, and which nobody has read."""
        places = [place for place in self.broker.logs if place.topic in COME_BACK]
        return [tuple(one) for one in places if (last := self.broker.last(one)) and not self._is_read(last)]

    def say_the_lost(self) -> None:
        """Publishers miss what Kafka has lost, and say it again."""
        for one in self._unsaid:
            self.broker.append(one)
        self._unsaid.clear()

    def _known_to_its_publisher(self, record: Record) -> bool:
        event = self.oracle.event_of(record)
        service = PUBLISHERS.get(record.topic)
        return event is None or service is None or says(self.tables(service), event)

    def _is_read(self, record: Record) -> bool:
        """Whether a row or a consumer stands behind it."""
        place = TopicPartition(record.topic, record.partition)
        readers = [one for one in self.processes.values() if record.topic in one.folds]
        rows = [self.tables(one.service).position.get(tuple(place), 0) for one in readers]
        consumers = [one.consumers[record.topic].stands_at(place) for one in readers]
        return any(record.offset < one for one in rows + consumers)

    def _is_lost(self, records: list[Record], ends: dict[TopicPartition, int]) -> None:
        """Where the topic ends now. A copy of a database in which it was read beyond that is of another topic."""
        for record in records:
            event = self.oracle.event_of(record)
            if record.topic in OWN_TOPICS and event:
                recording, order = order_of(event)
                self.lost[record.topic][recording] = max(order, self.lost[record.topic].get(recording, ()))
            elif record.topic not in OWN_TOPICS:
                headers = [(name, value or b"") for name, value in record.headers]
                self._unsaid.append(Outgoing(record.topic, record.key, record.value or b"", headers))
        for service, copy in list(self._copies.items()):
            if any(copy["position"].get(tuple(place), 0) > end for place, end in ends.items()):
                del self._copies[service]
        for targets in self.oracle.must_have_read.values():
            targets.update({place: min(end, targets[place]) for place, end in ends.items() if place in targets})

    def _all_look_at(self, topic: str) -> None:
        """Everybody joins and looks once a second; a topic that grows beyond its old end before that looks unchanged.

        So one that has just been started, is asleep or fails to commit is waited for: stopped services are not promised
        to notice.
        """
        readers = [one for one in self.processes.values() if topic in one.folds]
        ends = self.broker.ends({topic})
        for _ in range(STEPS_MAX):
            for process in readers:
                for name in (f"read:{topic}", f"fold:{topic}", f"join:{topic}", f"look:{topic}"):
                    self._finish(process, name)
            rows = [self.tables(one.service).position for one in readers]
            stored = not any(one.ahead[topic] for one in readers)
            if stored and all(row.get(tuple(place), 0) <= end for row in rows for place, end in ends.items()):
                break
