"""The world of one run: clock, broker, cloud, three databases and the processes; a move changes it.

A move is a value and has the same effect whenever the moves before it were the same, so a run is its list of moves. One
that makes no sense in the present state does nothing, so any list is a run: that is what shrinking needs.
"""

from collections.abc import Callable
from datetime import timedelta
from typing import Any, NamedTuple

from schemas.envelope import encode
from schemas.events import (
    Event,
    RecordingProcessed,
    RecordingTransferred,
    TicketDetails,
    TicketLinkRequested,
    TicketSyncRequested,
)
from schemas.topics import TOPICS
from shared.producer import Outgoing
from tests.simulation import clock as clocks
from tests.simulation.cloud import KEYS
from tests.simulation.oracle import Violation
from tests.simulation.processes import OWN
from tests.simulation.topic_moves import TopicMoves
from tests.simulation.truth import Asked

RECORDINGS = {"R1": "Monday", "R2": "Monday", "R3": "Tuesday"}


class Move(NamedTuple):
    """`kind` is the name of one of World's moves."""

    kind: str
    args: tuple[Any, ...] = ()

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(map(repr, self.args))})"


class World(TopicMoves):
    """All moves."""

    def apply(self, move: Move) -> None:
        """Do it. Raises Violation."""
        doing: Callable[..., None] = getattr(self, move.kind)
        try:
            doing(*move.args)
        except (Violation, AssertionError):
            raise
        except Exception as error:
            raise Violation(f"{type(error).__name__} in {self.running}: {error}") from error

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
