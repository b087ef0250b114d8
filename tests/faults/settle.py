"""After the faults: nothing may be left to do, and then the cloud shows just what the books say.

Asked of the three databases, the topics and the cloud themselves; the services' own answers come last, because they are
what operators see. Each finding is a sentence; none means that it is settled.
"""

import asyncio
import time

from schemas.topics import TOPICS
from shared.kafka import plain
from shared.topics import ends
from tests.faults.load import Load
from tests.faults.site import SERVICES, Site
from tests.faults.watch import AWAY, Watch

LOOK_EVERY_S = 0.5
TO_DO = {
    "linker": (
        ("a link that is not heard", "select recording_id from unheard_link"),
        ("an arrival not looked at", "select recording_id from arrival"),
        ("an import not finished", "select import_id from import where finished_at is null"),
        ("a parked link", "select recording_id from parked_link where state = 'parked'"),
    ),
    "transfer": (
        ("an open request", "select folder_id from upload_request"),
        ("a recording that waits", "select recording_id from recording where waiting"),
        ("a rejected recording", "select recording_id from recording where rejected is not null"),
        ("a transfer that is not heard", "select recording_id from unheard_transfer"),
    ),
    "cloud_updater": (
        ("a claim", "select clouds_uuid from claim"),
        ("a second push to come", "select recording_id from duty"),
        ("an acknowledgement not announced", "select clouds_uuid from ledger where announced_cursor < cursor"),
        ("a refused ticket", "select recording_id from recording where rejected is not null"),
        ("a resync not done", "select request_id from sync_request where done_at is null"),
    ),
}
READ_FROM_OTHERS = {
    "linker": ("RecordingProcessed", "TicketLinkRequested"),
    "transfer": ("RecordingProcessed",),
    "cloud_updater": ("TicketSyncRequested",),
}
TOLD = {
    "linker": ("TicketLinked", "select recording_id, link_version as version from link where link_version > 0"),
    "transfer": ("RecordingTransferred", "select recording_id, transfer_version as version from transfer"),
}
NOT_PUBLISHED = "select topic || partition || ':' || \"offset\" from dead_letter where published_at is null"


async def settled(site: Site, load: Load, watch: Watch, *, within_s: float) -> list[str]:
    """Wait until nothing is left, for so long at most; what is left then. There must be no load meanwhile."""
    until = time.monotonic() + within_s
    left = ["nothing was seen yet"]
    while left and time.monotonic() < until:
        try:
            left = [*await _to_do(site), *await _unlike_the_books(site, load, watch)]
        except AWAY as error:
            left = [f"a server does not answer: {type(error).__name__}"]
        if left:
            await asyncio.sleep(LOOK_EVERY_S)
    if not left and watch.versions_lost:
        rows = await site.sql("linker", "select recording_id, link_version from link")
        watch.compare_versions({row["recording_id"]: row["link_version"] for row in rows})
        watch.versions_lost = False
    return left


async def unread(site: Site) -> list[str]:
    """Which topics a service has not read to their end."""
    found = []
    stop = await ends(plain(site.broker), [topic.name for topic in TOPICS if topic.event])
    for service in SERVICES:
        topics = {topic.name for topic in TOPICS if service in topic.consumers}
        rows = await site.sql(service, "select topic, partition, next_offset from position")
        stand = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
        found += [
            f"{service} stands at {stand.get(place)} of {end} in {place}"
            for place, end in stop.items()
            if place[0] in topics and stand.get(place, 0) != end
        ]
    return found


async def _to_do(site: Site) -> list[str]:
    found = await unread(site)
    for service, questions in TO_DO.items():
        for what, question in (*questions, ("a dead letter not published", NOT_PUBLISHED)):
            rows = await site.sql(service, question)
            found += [f"{service} has {what}: {rows[0][0]} and {len(rows) - 1} more"] if rows else []
    return found


async def _unlike_the_books(site: Site, load: Load, watch: Watch) -> list[str]:
    await watch.read_effects()
    found = [f"{watch.unjudged} facts speak of links that are on no topic"] if watch.unjudged else []
    states = (await load.call("linker", "GET", "/status"))[0]["states"]
    found += [f"{states[name]} recordings are {name}" for name in ("pending", "not_transferred") if states.get(name)]
    found += await _dead_letters_untold(site, watch)
    found += await _topics_untold(site, watch)
    return [*found, *await _cloud_unlike(site, load), *await _unapplied(site, load, watch)]


async def _topics_untold(site: Site, watch: Watch) -> list[str]:
    """What a service has done stands on its topic, also if that was made anew: the next lost database is survived."""
    found = []
    for service, (topic, question) in TOLD.items():
        rows = await site.sql(service, question)
        unlike = [
            row["recording_id"] for row in rows if watch.newest.get((topic, row["recording_id"])) != row["version"]
        ]
        found += [f"{topic} does not say the newest of {one}" for one in unlike]
    return found


async def _cloud_unlike(site: Site, load: Load) -> list[str]:
    shown: dict[tuple[str, str], list[str | None]] = {}
    for folder in (await site.cloud("GET", "/folders"))["folders"]:
        for file in folder["files"]:
            ticket = (file["ticket_info"] or {}).get("ticket_id")
            shown.setdefault((folder["folder"], file["filename"]), []).append(ticket)
    return [
        f"{place} shows {shown.get(place)}, its newest ticket is {ticket}"
        for place, ticket in load.books.wanted().items()
        if shown.get(place) != [ticket]
    ]


async def _unapplied(site: Site, load: Load, watch: Watch) -> list[str]:
    """What was said on others' topics is in the rows, or a dead letter; a link request shows in the cloud."""
    found = []
    for service, topics in READ_FROM_OTHERS.items():
        if "RecordingProcessed" in topics:
            found += await _revisions_unknown(site, load, service)
        rows = await site.sql(service, 'select topic, partition, "offset" from dead_letter')
        letters = {(row["topic"], row["partition"], row["offset"]) for row in rows}
        for topic in topics:
            bad = {place for place in watch.put_aside if place[0] == topic}
            found += [f"{service} did not put aside {place}" for place in bad - letters]
            if topic not in watch.were_others:
                good = {place for place in letters if place[0] == topic} - bad
                found += [f"{service} put aside {place}, which can be applied" for place in good]
    return found


async def _revisions_unknown(site: Site, load: Load, service: str) -> list[str]:
    rows = await site.sql(service, "select recording_id, revision from recording")
    known = {row["recording_id"]: row["revision"] for row in rows}
    return [
        f"{service} knows {one.recording_id} at revision {known.get(one.recording_id)} of {one.revision}"
        for one in load.books.recordings.values()
        if known.get(one.recording_id) != one.revision
    ]


async def _dead_letters_untold(site: Site, watch: Watch) -> list[str]:
    """Each row is on its service's topic as well: the record as it was when it came, with the reason."""
    found = []
    for service in SERVICES:
        rows = await site.sql(service, 'select topic, partition, "offset", reason from dead_letter')
        for topic, partition, offset, reason in rows:
            if topic in watch.were_others and (topic, partition, offset) not in watch.put_aside:
                continue
            told = watch.dead_letters.get((f"{service}.dlq", topic, partition, offset))
            came = watch.put_aside.get((topic, partition, offset))
            if told is None or came is None or told != (*came, reason):
                found.append(f"{service}.dlq says {told} of {topic} {partition}:{offset}, which was {came}: {reason}")
    return found
