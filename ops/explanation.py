"""Why a recording is or is not in sync, from what the three services say of it. Pure: answers in, a story out.

The story has every fact that was seen, with its place in Kafka, and every version of the link with whoever asked for
it, in the order of their times; then what is under way; then one sentence, and the command that mends it, if any does.
A service that does not answer is never taken for one that has heard of nothing.
"""

import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ops.commands_told import argument

Answer = Mapping[str, Any]

SETTLED = "ticketsync status --wait settled"
LAG = "ticketsync lag"
DOCTOR = "ticketsync doctor"
DEAD_TOLD = 50


@dataclass(frozen=True)
class About:
    """What each service says of one recording; None: it never heard of it, or is one of the `silent`.

    `folder`: of transfer, while it uploads or the cloud has lost it. `dead`: its facts that a service could not apply,
    by that service.
    """

    linker: Answer
    transfer: Answer | None
    cloud_updater: Answer | None
    folder: Answer | None
    silent: Collection[str] = ()
    dead: Sequence[tuple[str, Answer]] = ()

    @property
    def recording_id(self) -> str:
        """Its id."""
        return str(self.linker["recording_id"])


@dataclass(frozen=True)
class Happened:
    """Something that happened. `place`: topic, partition and offset of the fact, if it is one that is kept."""

    at: str | None
    what: str
    place: Mapping[str, Any] | None = None

    @property
    def where(self) -> str | None:
        """The place in one word."""
        return f"{self.place['topic']} {self.place['partition']}:{self.place['offset']}" if self.place else None


@dataclass(frozen=True)
class Why:
    """One sentence, and the command that mends it; None: there is nothing to mend."""

    line: str
    command: str | None = None


def story(about: About) -> list[Happened]:
    """What happened, the oldest first."""
    requested = requests(about.transfer, about.cloud_updater, about.folder)
    events = [*_facts(about), *_links(about), *dead_letters(about.dead), *requested]
    return sorted(events, key=lambda one: one.at or "9999")


def _facts(about: About) -> list[Happened]:
    facts = about.linker["facts"]
    found = []
    if processed := facts["processed"]:
        found.append(Happened(processed["at"], f"processed, revision {processed['revision']}", processed["place"]))
    if transferred := facts["transferred"]:
        version = transferred["transfer_version"]
        sent = (about.transfer or {}).get("sent_link_version")
        along = "" if sent is None else f", link {sent} went along" if sent else ", without a link"
        what = f"transferred to {about.linker['clouds_uuid']} (transfer {version}){along}"
        found.append(Happened(transferred["at"], what, transferred["place"]))
    known = facts["known"]
    if known and known["place"]:
        what = f"the cloud acknowledged link {known['link_version']} (transfer {known['transfer_version']})"
        found.append(Happened(known["at"], what, known["place"]))
    return found


def _links(about: About) -> list[Happened]:
    """The newest version has a place if cloud_updater has read it."""
    read = about.cloud_updater or {}
    found = []
    for one in about.linker["history"]:
        version, ticket = one["link_version"], one["ticket_info"]
        made = f"linked to {ticket['ticket_id']}" if ticket else "unlinked"
        who = f" by {one['linked_by']}" if one["linked_by"] else ""
        through = f"import {one['import_id']}" if one["import_id"] else f"{one['source']} request {one['request_id']}"
        place = read.get("linked") if read.get("link_version") == version else None
        found.append(Happened(one["linked_at"], f"link {version}: {made}{who}, {through}", place))
    return found


def dead_letters(dead: Sequence[tuple[str, Answer]]) -> list[Happened]:
    """Facts that could not be applied, the newest of very many; `place` is where each stands on its topic."""
    return [
        Happened(one["failed_at"], f"{service} could not apply this: {one['reason']}: {one['error']}", one)
        for service, one in sorted(dead, key=lambda of: failed_at(of[1]))[-DEAD_TOLD:]
    ]


def failed_at(letter: Answer) -> datetime:
    """When it was tried last: the newest is the one to look after."""
    return datetime.fromisoformat(letter["failed_at"])


def requests(transfer: Answer | None, cloud_updater: Answer | None, folder: Answer | None) -> list[Happened]:
    """What is under way to the cloud, and what keeps it from there."""
    found = []
    request = (folder or {}).get("open_request")
    if request and (transfer or {}).get("phase") == "uploading":
        what = f"upload request {request['request_id']} ({request['kind']}), sent {request['attempts']} times, is open"
        found.append(Happened(request["frozen_at"], what))
    for service, said in (("upload", transfer), ("push", cloud_updater)):
        blocked = (said or {}).get("blocked")
        if blocked:
            until = f", next try {blocked['next_try_at']}" if blocked["next_try_at"] else ""
            found.append(Happened(None, f"{service} {blocked['reason']}: {blocked['message'] or 'no message'}{until}"))
    pending = (cloud_updater or {}).get("resyncs") or ()
    found += [Happened(None, f"resync {request_id} is not carried out yet") for request_id in pending]
    return found


def story_without_linker(
    transfer: Answer | None, cloud_updater: Answer | None, folder: Answer | None
) -> list[Happened]:
    """What the others know while linker, which hears every fact, does not answer: how far they are, and no times."""
    found = []
    if transfer:
        found.append(Happened(None, f"upload {transfer['phase']} (transfer {transfer['transfer_version']})"))
    if cloud_updater:
        wanted, shown = cloud_updater["link_version"], cloud_updater["acknowledged_link_version"]
        what = f"cloud-updater has read link {wanted}; the cloud has acknowledged link {shown}"
        found.append(Happened(None, what, cloud_updater["linked"]))
    return [*found, *requests(transfer, cloud_updater, folder)]


def why(about: About) -> Why:
    """The sentence for the state that the recording is in."""
    one = argument(about.recording_id)
    ticket = (about.linker["ticket_info"] or {}).get("ticket_id")
    match about.linker["state"]:
        case "in_sync":
            version = about.linker["link_version"]
            return Why(f"In sync: the cloud has acknowledged its newest link, {version}, to ticket {ticket}.")
        case "no_ticket_needed":
            return Why("In order: it is in the cloud without a ticket, and needs none.")
        case "waiting_for_ticket":
            gone = "it was unlinked" if about.linker["link_version"] else "nobody has linked one"
            return Why(f"It is in the cloud and has no ticket: {gone}.", f"ticketsync link --ticket TICKET {one}")
        case "not_transferred":
            return _not_transferred(about)
        case _:
            return _pending(about)


def _not_transferred(about: About) -> Why:
    said = about.transfer
    if "transfer" in about.silent:
        return Why("It is not in the cloud; why, transfer knows, which does not answer.", DOCTOR)
    if said is None:
        return _unread(about, "It is not in the cloud", "transfer", "RecordingProcessed")
    if blocked := said["blocked"]:
        return _blocked(about, blocked, "It is not in the cloud")
    if said["phase"] == "transferred":
        return _unread(about, "It is in the cloud", "linker", "RecordingTransferred")
    if said["phase"] == "uploading":
        return Why("Its upload is under way.", SETTLED)
    return Why("It waits for its upload, which is about to begin.", SETTLED)


def _pending(about: About) -> Why:
    said, version = about.cloud_updater, about.linker["link_version"]
    missing = f"The cloud does not have link {version} yet"
    if "cloud-updater" in about.silent:
        return Why(f"{missing}; why, cloud-updater knows, which does not answer.", DOCTOR)
    if said is None or said["transfer_version"] < about.linker["transfer_version"]:
        return _unread(about, missing, "cloud-updater", "RecordingTransferred")
    if said["link_version"] < version:
        return _unread(about, missing, "cloud-updater", "TicketLinked")
    if blocked := said["blocked"]:
        return _blocked(about, blocked, missing)
    if said["owed"]:
        return Why(f"{missing}; its push is about to be made, or under way.", SETTLED)
    return _unread(about, f"The cloud has link {version}", "linker", "CloudTicketUpdated")


def _unread(about: About, so_far: str, service: str, topic: str) -> Why:
    """That a service does not know a fact of it: it has not come that far, or could not apply it."""
    dead = [one for of, one in about.dead if (of, one["topic"]) == (service, topic)]
    if not dead:
        return Why(f"{so_far}; {service} has not read its {topic} yet.", LAG)
    last = max(dead, key=failed_at)
    line = f"{so_far}; {service} could not apply its {topic}: {last['reason']}. Once the cause is mended, redrive it."
    at = f"{last['partition']}:{last['offset']}"
    return Why(line, f"ticketsync dlq redrive --service {service} --topic {topic} --at {at}")


def _blocked(about: About, blocked: Answer, missing: str) -> Why:
    one, folder = shlex.quote(about.recording_id), shlex.quote(str(about.linker["folder_id"]))
    message = (blocked["message"] or "without a message").rstrip(".")
    match blocked["reason"]:
        case "retrying" if message.startswith("paused: "):
            service = "cloud-updater" if about.linker["transfer_version"] else "transfer"
            return Why(f"{missing}: the way to the cloud is {message}.", f"ticketsync resume {service}")
        case "retrying":
            when = f"; it is tried again at {blocked['next_try_at']}" if blocked["next_try_at"] else ""
            return Why(f"{missing}: {message}{when}.", DOCTOR)
        case "rejected" if about.linker["transfer_version"]:
            return Why(f"{missing}: the cloud refuses it: {message}.", f"ticketsync resync --recording {one}")
        case "rejected":
            again = f"ticketsync transfer retry --recording {one}"
            return Why(f"{missing}: it is refused: {message}. Once the cause is mended, have it tried again.", again)
        case "outcome_unknown":
            # What was added to a folder is in one that is known.
            added = ((about.folder or {}).get("open_request") or {}).get("kind") == "inject"
            answer = f"ticketsync transfer exists-as --folder {folder}" + ("" if added else " -- CLOUDS_UUID")
            return Why(f"{missing}: nobody knows whether its upload had its effect ({message}). Look there.", answer)
        case _:
            return _lost(about, missing, f"ticketsync transfer retry --folder {folder}")


def _lost(about: About, missing: str, again: str) -> Why:
    """What was adopted and never processed cannot be uploaded, so transfer refuses to make its folder anew."""
    lost = f"{missing}: the cloud has lost its folder {about.linker['clouds_uuid']}"
    unprocessed = (about.folder or {}).get("unprocessed", 0)
    if not unprocessed:
        return Why(f"{lost}.", again)
    which = "is one recording" if unprocessed == 1 else f"are {unprocessed:,} recordings"
    first = f"there {which} of it, adopted, without a RecordingProcessed: publish that first, then {again}"
    return Why(f"{lost}, and {first}.", "ticketsync publish recording-processed FILE")
