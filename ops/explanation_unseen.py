"""What is told of a name that linker knows no recording of: links that wait for one, and what could not be applied.

Pure, as ops/explanation.py. A link that waits for a recording whose own fact could not be applied waits in vain, so
that fact is the reason then.
"""

from collections.abc import Sequence

from ops.explanation import Answer, Happened, Why, failed_at

MADE_KNOWN_BY = "RecordingProcessed"
NOT_HERE = Why("No recording of this name has arrived; its link waits and will be applied when it does.")


def parked_story(links: Sequence[Answer]) -> list[Happened]:
    """What waits for a recording that nobody has seen."""
    return [
        Happened(
            one["parked_at"],
            f"ticket {one['ticket_id']} for {one['recording_id'] or one['filename']}"
            f"{' in folder ' + one['folder'] if one['folder'] else ''} waits for its recording"
            f"{' (expired)' if one['state'] == 'expired' else ''}",
        )
        for one in links
    ]


def why_unseen(dead: Sequence[tuple[str, Answer]]) -> Why:
    """The fact that would make it known, else the newest; redriven wherever it could not be applied."""
    if not dead:
        return NOT_HERE
    _, last = max(dead, key=lambda of: (of[1]["topic"] == MADE_KNOWN_BY, failed_at(of[1])))
    place = (last["topic"], last["partition"], last["offset"])
    by = [service for service, one in dead if (one["topic"], one["partition"], one["offset"]) == place]
    topic, partition, offset = place
    line = f"No recording of this name is known; {' and '.join(by)} could not apply its {topic}: {last['reason']}."
    at = f"{partition}:{offset}"
    return Why(f"{line} Once the cause is mended, redrive it.", f"ticketsync dlq redrive --topic {topic} --at {at}")
