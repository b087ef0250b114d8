"""What must hold after every step, whatever happens: safety. What must hold in the end stands in healing.py.

Looks at the topics, at the cloud's log and at every commit. Independent of the product's own bookkeeping where it can
be: an acknowledgement must have an effect in the log, a transfer a file, a moved position rows that say what was read.
"""

import json
from collections.abc import Callable
from datetime import datetime
from typing import Any

from aiokafka import TopicPartition

from schemas.envelope import decode
from schemas.events import CloudTicketUpdated, Event, RecordingProcessed, RecordingTransferred, TicketLinked
from schemas.topics import topic_named
from schemas.undecodable import Undecodable
from shared.record import Record
from tests.simulation.broker import Broker
from tests.simulation.cloud import KEYS, Cloud, Request
from tests.simulation.database import ModelDatabase, Tables
from tests.simulation.linker_store import LinkerTables
from tests.simulation.processes import OWN
from tests.simulation.transfer_store import TransferTables
from tests.simulation.truth import Truth
from tests.simulation.updater_store import UpdaterTables

ACTING = {"linker": ("link",), "transfer": ("upload_request",), "cloud_updater": ("claim",)}
_READS_BACK = ("fold:TicketLinked", "fold:RecordingTransferred", "fold:CloudTicketUpdated")


class Violation(Exception):
    """A promise is broken; the message says which."""


class Oracle:
    """`must_have_read`: per service, where its own topic ended when its database was lost or set back.

    `versions_may_meet`: (recording, version) that a lost database of linker had given, and no topic knew of.
    `under_way`: requests that a process may send again although no keys are honoured, because it knows no better.
    """

    def __init__(self, truth: Truth) -> None:
        self.truth = truth
        self.broker: Broker
        self.cloud: Cloud
        self.transfer: ModelDatabase
        self.transfer_sleeps: Callable[[], bool]
        self.under_way: set[str] = set()
        self.must_have_read: dict[str, dict[TopicPartition, int]] = {}
        self.versions_may_meet: set[tuple[str, int]] = set()
        self._links: dict[tuple[str, int], str | None] = {}
        self._transfers: dict[tuple[str, int], RecordingTransferred] = {}
        self._decoded: dict[tuple[str, bytes], Event | None] = {}

    def event_of(self, record: Record) -> Event | None:
        """None: it cannot be read."""
        known = (record.topic, record.value)
        if known not in self._decoded:
            topic = topic_named(record.topic)
            try:
                event = decode(topic, key=record.key, value=record.value, headers=record.raw_headers)
            except Undecodable:
                event = None
            self._decoded[known] = event
        return self._decoded[known]

    def appended(self, record: Record) -> None:
        """A fact stands on its topic for good, so it must be true."""
        if record.topic.endswith(".dlq"):
            return
        match self.event_of(record):
            case TicketLinked() as fact:
                self._hear_link(fact)
            case RecordingTransferred() as fact:
                self._hear_transfer(fact)
            case CloudTicketUpdated() as fact:
                self._hear_acknowledgement(fact)
            case _:
                pass

    def _hear_link(self, fact: TicketLinked) -> None:
        ticket = fact.ticket_info.ticket_id if fact.ticket_info else None
        known = self._links.setdefault((fact.recording_id, fact.link_version), ticket)
        if known != ticket and (fact.recording_id, fact.link_version) not in self.versions_may_meet:
            raise Violation(f"{fact.recording_id} v{fact.link_version} was given twice: {known} and {ticket}")

    def _hear_transfer(self, fact: RecordingTransferred) -> None:
        known = self._transfers.setdefault((fact.recording_id, fact.transfer_version), fact)
        if known.clouds_uuid != fact.clouds_uuid and fact.recording_id not in self.truth.excused:
            raise Violation(f"transfer {fact.transfer_version} of {fact.recording_id} was given twice")
        shown = self._shown(fact.clouds_uuid, fact.file.filename)
        ticket = self._links.get((fact.recording_id, fact.link_version)) if fact.link_version else None
        if ticket not in shown and (fact.recording_id, fact.link_version) not in self.versions_may_meet:
            raise Violation(f"{fact.recording_id} is called transferred with {ticket}, the cloud saw {shown}")

    def _hear_acknowledgement(self, fact: CloudTicketUpdated) -> None:
        filename = self.truth.recordings[fact.recording_id][1]
        version = (fact.recording_id, fact.link_version)
        ticket = self._links.get(version)
        if ticket not in self._shown(fact.clouds_uuid, filename) and version not in self.versions_may_meet:
            raise Violation(f"{fact.recording_id} v{fact.link_version} is called in sync, the cloud never saw {ticket}")

    def _shown(self, uuid: str, filename: str) -> set[str | None]:
        return {one.ticket_id for one in self.cloud.log if one.uuid == uuid and one.filename == filename}

    def effected(self) -> None:
        """No folder and no file is there twice."""
        present = [one for one in self.cloud.folders.values() if not one.lost]
        places: dict[tuple[str, str], int] = {}
        for folder in present:
            for file in folder.files:
                places[folder.name, file.filename] = places.get((folder.name, file.filename), 0) + 1
        for recording, (folder_name, filename) in self.truth.recordings.items():
            if places.get((folder_name, filename), 0) > self.truth.times_at_most(recording):
                raise Violation(f"{recording} is in the cloud {places[folder_name, filename]} times")

    def sent_again(self, request: Request) -> None:
        """By a cloud that honours no keys it is taken for another. Harmless only if nobody can know that yet."""
        tables = self.transfer.tables
        if KEYS not in tables.lane["one"].capabilities and request.key not in self.under_way:
            raise Violation(f"the upload {request.key} was repeated, and the cloud is known to honour no keys")
        names = {one["filename"] for one in json.loads(request.body)["files"]}
        for recording, (_, filename) in self.truth.recordings.items():
            if filename in names:
                excused = self.truth.excused[recording]
                excused.add(f"{request.key}, the {len(excused)}. more")

    def committed(self, database: ModelDatabase, task: str, before: dict[str, dict[Any, Any]]) -> None:
        """A commit says what was read, gives higher versions only, and nothing acts before its own topic is read."""
        tables = database.tables
        # Most commits write little: what is as it was need not be looked through.
        read = tables.position.items() if tables.position != before["position"] else ()
        for place, end in read:
            begin = before["position"].get(place, 0)
            if end > begin:
                self._was_folded(database.service, tables, TopicPartition(*place), begin, end)
        if isinstance(tables, LinkerTables) and tables.link != before["link"]:
            for one, row in tables.link.items():
                if one in before["link"] and row.link_version < before["link"][one].link_version:
                    raise Violation(f"the link of {one} went back to v{row.link_version}")
        if isinstance(tables, TransferTables):
            self._keys_heard(tables, before, database.now)
            self._looks_first(tables, before)
        if isinstance(tables, UpdaterTables):
            self._only_rise(tables, before["recording"])
            self._leases_hold(database, tables, before["ledger"])
        self._gate_was_open(database.service, tables, task, before)

    def _keys_heard(self, tables: TransferTables, before: dict[str, Any], now: datetime) -> None:
        """What is under way as it is heard that no keys are honoured was let go before."""
        if KEYS in before["lane"]["one"].capabilities and KEYS not in tables.lane["one"].capabilities:
            leased = {one for one, row in tables.folder.items() if row.lease_until and row.lease_until > now}
            asleep = self.transfer_sleeps()
            open_now = tables.upload_request.values()
            self.under_way |= {str(one.id) for one in open_now if asleep or one.folder_id in leased}

    def _looks_first(self, tables: TransferTables, before: dict[str, Any]) -> None:
        """In an outage of a cloud that honours no keys each new upload comes after a ping that was answered."""
        lane = before["lane"]["one"]
        if lane.reason != "circuit_open" or KEYS in lane.capabilities:
            return
        if tables.upload_request.keys() - before["upload_request"].keys():
            if not self.cloud.pinged:
                raise Violation("an upload is sent for a mere look at a cloud that honours no keys")
            self.cloud.pinged = False

    def _only_rise(self, tables: UpdaterTables, before: dict[str, Any]) -> None:
        if tables.recording == before:
            return
        for one, row in tables.recording.items():
            was = before.get(one)
            if was and (row.link_version < was.link_version or row.transfer_version < was.transfer_version):
                raise Violation(f"what cloud_updater knows of {one} went back to v{row.link_version}")

    def _leases_hold(self, database: ModelDatabase, tables: UpdaterTables, before: dict[str, Any]) -> None:
        if tables.ledger == before:
            return
        for ledger in tables.ledger.values():
            if not 0 <= ledger.announced_cursor <= ledger.cursor <= ledger.last_seq:
                raise Violation(f"the cursors of {ledger.clouds_uuid} are out of order")
            was = before.get(ledger.clouds_uuid)
            if not was or not was.lease_until or was.lease_until <= database.now:
                continue
            if ledger.lease_token and ledger.lease_token != was.lease_token:
                raise Violation(f"{ledger.clouds_uuid} was taken from the worker that has its lease")

    def _gate_was_open(self, service: str, tables: Tables, task: str, before: dict[str, dict[Any, Any]]) -> None:
        targets = self.must_have_read.get(service)
        if not targets:
            return
        if all(tables.position.get((one.topic, one.partition), 0) >= end for one, end in targets.items()):
            del self.must_have_read[service]
            return
        acts = task != f"fold:{OWN[service].name}"
        for name in ACTING[service]:
            new = vars(tables)[name].keys() - before[name].keys()
            if acts and new:
                raise Violation(f"{service} acts ({task}) before it has read what it once did")

    def _was_folded(self, service: str, tables: Tables, place: TopicPartition, begin: int, end: int) -> None:
        for record in self.broker.between(place, begin, end):
            event = self.event_of(record) if record.value is not None else None
            if record.value is None:
                continue
            if event is None:
                told = any(one[:3] == (*place, record.offset) for one in tables.dead_letter)
            else:
                told = says(tables, event)
            if not told:
                raise Violation(
                    f"{service} passed {record.topic} {place.partition}:{record.offset} and knows nothing of it"
                )


def says(tables: Tables, event: Event) -> bool:
    """Whether the rows say what the event said, or something newer."""
    match tables, event:
        case LinkerTables(), RecordingProcessed():
            row = tables.recording.get(event.recording_id)
            return row is not None and row.order is not None and row.order[0] >= event.revision
        case LinkerTables(), TicketLinked():
            link = tables.link.get(event.recording_id)
            return link is not None and link.link_version >= event.link_version
        case LinkerTables(), RecordingTransferred():
            row = tables.recording.get(event.recording_id)
            return row is not None and row.transfer_version >= event.transfer_version
        case TransferTables(), RecordingProcessed():
            wanted = tables.recording.get(event.recording_id)
            return wanted is not None and wanted.fact.revision >= event.revision
        case TransferTables(), TicketLinked():
            return tables.ticket.get(event.recording_id, (0, None))[0] >= event.link_version
        case TransferTables(), RecordingTransferred():
            return tables.version(event.recording_id) >= event.transfer_version
        case UpdaterTables(), TicketLinked():
            pushed = tables.recording.get(event.recording_id)
            return pushed is not None and pushed.link_version >= event.link_version
        case UpdaterTables(), RecordingTransferred():
            pushed = tables.recording.get(event.recording_id)
            return pushed is not None and pushed.transfer_version >= event.transfer_version
        case _:
            return True


def order_of(event: Event) -> tuple[str, tuple[int, ...]]:
    """The recording of one of the services' own facts, and its order among the facts of that recording."""
    match event:
        case TicketLinked():
            return event.recording_id, (event.link_version,)
        case RecordingTransferred():
            return event.recording_id, (event.transfer_version,)
        case CloudTicketUpdated():
            return event.recording_id, (event.transfer_version, event.link_version)
        case _:
            raise AssertionError(f"{type(event).__name__} is no service's own")
