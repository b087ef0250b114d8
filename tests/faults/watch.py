"""What must hold at every moment, whatever is broken: read from the cloud's effect log and from the topics.

No folder and no file is in the cloud twice. A link version means one ticket for ever, a transfer one folder. What is
called transferred or acknowledged has been shown by the cloud, with just the ticket of that version: so no older link
passes for the newest. Versions only rise. None of this asks the services what they think.
"""

import asyncio
import json
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import asyncpg
import httpx
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

from shared.kafka import plain
from shared.topics import ends
from tests.faults.site import SERVICES, Site

LOOK_EVERY_S = 0.5
PARTITIONS_EVERY_S = 5.0
OWN = ("TicketLinked", "RecordingTransferred", "CloudTicketUpdated")
OTHERS = ("RecordingProcessed", "TicketLinkRequested", "TicketSyncRequested")
DEAD_LETTERS = tuple(f"{service}.dlq" for service in SERVICES)
POISON = b"{poison"
# While a server is away there is nothing to be seen of it.
AWAY = (OSError, TimeoutError, KafkaError, httpx.HTTPError, asyncpg.PostgresError, asyncpg.InterfaceError)

Json = dict[str, Any]


class DeadLetter(NamedTuple):
    """What its topic says of a record that could not be applied."""

    key: bytes | None
    value: bytes
    reason: str


@dataclass(eq=False)
class Watch:
    """`broken`: what should never have been. `put_aside`: records that nobody can apply, by their place;
    `dead_letters`: what the services' topics say of them, by the topic and the place that they came from.
    `were_others`: topics that were made anew: there are dead letters of places where something else stands now.

    `places`: (topic, key) → partitions it was seen on. `overtaken`: older links behind newer ones on the topic;
    `went_back`: tickets that the cloud showed again after another. Neither is forbidden: late ones do that. `newest`:
    (topic, recording) → the newest version that the topic holds.
    """

    site: Site
    broken: list[str] = field(default_factory=list)
    effects: list[Json] = field(default_factory=list)
    places: dict[tuple[str, str], set[int]] = field(default_factory=dict)
    put_aside: dict[tuple[str, int, int], tuple[bytes | None, bytes]] = field(default_factory=dict)
    dead_letters: dict[tuple[str, str, int, int], DeadLetter] = field(default_factory=dict)
    were_others: set[str] = field(default_factory=set)
    overtaken: int = 0
    went_back: int = 0
    newest: dict[tuple[str, str], int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    versions_lost: bool = False
    _reading: asyncio.Lock = field(default_factory=asyncio.Lock)
    _after: int = 0
    _folders: dict[str, str] = field(default_factory=dict)
    _files: Counter[tuple[str, str]] = field(default_factory=Counter)
    _uploads: Counter[str] = field(default_factory=Counter)
    _shown: dict[tuple[str, str], list[str | None]] = field(default_factory=dict)
    _told: dict[tuple[str, str], dict[int, int]] = field(default_factory=dict)
    _links: dict[tuple[str, int], str | None] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _transfers: dict[tuple[str, int], str] = field(default_factory=dict)
    _unjudged: list[tuple[str, Json]] = field(default_factory=list)
    _last: dict[tuple[str, int], int] = field(default_factory=dict)
    _next: dict[TopicPartition, int] = field(default_factory=dict)
    _anew: set[str] = field(default_factory=set)
    _look_for_partitions_at: float = 0.0

    async def run(self) -> None:
        """Look until cancelled."""
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self.site.broker, auto_offset_reset="earliest", metadata_max_age_ms=2_000
        )
        await consumer.start()
        try:
            while True:
                with suppress(*AWAY):
                    await self._look(consumer)
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            await consumer.stop()

    async def _look(self, consumer: AIOKafkaConsumer) -> None:
        if time.monotonic() > self._look_for_partitions_at:
            found = await ends(plain(self.site.broker), [*OWN, *OTHERS, *DEAD_LETTERS])
            self._assign(consumer, {TopicPartition(*place) for place in found})
            self._look_for_partitions_at = time.monotonic() + PARTITIONS_EVERY_S
        for records in (await consumer.getmany(timeout_ms=100)).values():
            for record in records:
                self._read(record)
        # Read after the facts, the log holds every effect that they speak of.
        await self.read_effects()
        self._unjudged = [one for one in self._unjudged if not self._judge(*one)]
        await self._look_at_versions()

    def _assign(self, consumer: AIOKafkaConsumer, places: set[TopicPartition]) -> None:
        if places != consumer.assignment():
            consumer.assign(places)
        for place in places:
            if place not in self._next or place.topic in self._anew:
                self._next[place] = 0
            consumer.seek(place, self._next[place])
        self.newest = {one: version for one, version in self.newest.items() if one[0] not in self._anew}
        self.put_aside = {one: came for one, came in self.put_aside.items() if one[0] not in self._anew}
        self.were_others |= self._anew
        self._anew.clear()

    def made_anew(self, topic: str) -> None:
        """It is read from the start again; what its facts said once stays true."""
        self._anew.add(topic)
        self._look_for_partitions_at = 0.0

    # -- the cloud

    async def read_effects(self) -> None:
        """Everything that had an effect since the last look."""
        async with self._reading:
            await self._read_effects()

    async def _read_effects(self) -> None:
        while page := (await self.site.cloud("GET", "/effects", params={"after": self._after}))["effects"]:
            for effect in page:
                self._after = effect["seq"]
                if not effect["replayed"]:
                    self.effects.append(effect)
                    self._happened(effect)

    def _happened(self, effect: Json) -> None:
        uuid = effect["uuid"]
        if effect["idempotency_key"]:
            self._carried_a_key(effect)
        match effect["kind"]:
            case "create":
                if effect["folder"] in self._folders:
                    self.broken.append(f"folder {effect['folder']} is in the cloud twice")
                self._folders[effect["folder"]] = uuid
            case "delete":
                self._folders = {name: there for name, there in self._folders.items() if there != uuid}
        for file in effect["files"]:
            place = (uuid, file["filename"])
            if effect["kind"] in {"create", "inject"}:
                self._files[place] += 1
                if self._files[place] > 1:
                    self.broken.append(f"{file['filename']} is in its folder twice")
            if not file["ignored"]:
                shown = self._shown.setdefault(place, [])
                # A ticket is asked for once: what is shown anew after something else came late.
                self.went_back += file["ticket_id"] is not None and file["ticket_id"] in shown[:-1]
                shown.append(file["ticket_id"])

    def _carried_a_key(self, effect: Json) -> None:
        if effect["kind"] == "update_ticket":
            self.broken.append("update-ticket carried a key: a repeated unlink would have no effect")
        self._uploads[effect["idempotency_key"]] += 1
        if self._uploads[effect["idempotency_key"]] == 2:
            self.broken.append(f"an upload, {effect['kind']} of {effect['uuid']}, had its effect a second time")

    # -- the topics

    def _read(self, record: ConsumerRecord) -> None:
        self._next[TopicPartition(record.topic, record.partition)] = record.offset + 1
        if record.key is not None:
            self.places.setdefault((record.topic, record.key.decode()), set()).add(record.partition)
        if record.topic in DEAD_LETTERS:
            self._hear_of_a_dead_letter(record)
            return
        if record.topic in OTHERS:
            if record.value.startswith(POISON):
                self.put_aside[record.topic, record.partition, record.offset] = record.key, record.value
            return
        fact = json.loads(record.value)
        one = fact["recording_id"]
        version = fact["link_version" if record.topic == "TicketLinked" else "transfer_version"]
        self.newest[record.topic, one] = max(version, self.newest.get((record.topic, one), 0))
        if record.topic == "TicketLinked":
            ticket = (fact["ticket_info"] or {}).get("ticket_id")
            known = self._links.setdefault((one, fact["link_version"]), ticket)
            if known != ticket:
                self.broken.append(f"version {fact['link_version']} of {one} was given twice: {known} and {ticket}")
            self.overtaken += self._last.get((one, record.partition), 0) > fact["link_version"]
            self._last[one, record.partition] = max(fact["link_version"], self._last.get((one, record.partition), 0))
            return
        if record.topic == "RecordingTransferred":
            self._names[one] = fact["file"]["filename"]
            known = self._transfers.setdefault((one, fact["transfer_version"]), fact["clouds_uuid"])
            if known != fact["clouds_uuid"]:
                self.broken.append(f"transfer {fact['transfer_version']} of {one} was given twice")
        self._unjudged.append((record.topic, fact))

    def _hear_of_a_dead_letter(self, record: ConsumerRecord) -> None:
        said = {name: value.decode() for name, value in record.headers}
        place = (record.topic, said["topic"], int(said["partition"]), int(said["offset"]))
        self.dead_letters[place] = DeadLetter(record.key, record.value, said["reason"])

    def _judge(self, topic: str, fact: Json) -> bool:
        """False: what it speaks of has not been read yet."""
        one, version = fact["recording_id"], fact["link_version"]
        filename = self._names.get(one)
        if filename is None or (version and (one, version) not in self._links):
            return False
        ticket = self._links[one, version] if version else None
        if (showed := self._unlike(fact["clouds_uuid"], filename, version, ticket)) is not None:
            self.broken.append(f"{topic}: {one} is called in sync at {version} ({ticket}), the cloud showed {showed}")
        return True

    def _unlike(self, uuid: str, filename: str, version: int, ticket: str | None) -> list[str | None] | None:
        """None: the cloud has shown this ticket, and not before it showed that of an older version; else what it did.

        A ticket stands for one version, but none for any unlink: only the order tells one from that before it.
        """
        shown, told = self._shown.get((uuid, filename), []), self._told.setdefault((uuid, filename), {})
        after = max((place for older, place in told.items() if older < version), default=0)
        if ticket not in shown[after:]:
            return shown[after:]
        told.setdefault(version, shown.index(ticket, after))
        return None

    def version_of(self, recording_id: str) -> int:
        """The newest of its links that is on the topic."""
        return max((version for (one, _), version in self._last.items() if one == recording_id), default=0)

    @property
    def unjudged(self) -> int:
        """Facts that speak of a link which no topic has."""
        return len(self._unjudged)

    # -- linker's own rows

    async def _look_at_versions(self) -> None:
        rows = await self.site.sql("linker", "select recording_id, link_version from link")
        present = {row["recording_id"]: row["link_version"] for row in rows}
        if self.versions_lost:
            return
        self.compare_versions(present)

    def compare_versions(self, present: dict[str, int]) -> None:
        """None may be lower than it was."""
        for one, version in self.versions.items():
            if present.get(one, 0) < version:
                self.broken.append(f"the link of {one} went back from {version} to {present.get(one, 0)}")
        self.versions |= present
