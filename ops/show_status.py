"""How `ticketsync status` looks: as tables, as JSON, or in one line. Pure: what was seen in, what is shown out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import RenderableType

from ops import show
from ops.answers.status import BlockedRecording, LaneState, LinkerStatus
from ops.heard import Heard
from ops.overview import Overview

BLOCKED_SHOWN = 20


@dataclass(frozen=True)
class Seen:
    """What the services said: the overview, the first that are blocked, topics that are not read on; who was silent."""

    overview: Overview
    blocked: Sequence[BlockedRecording]
    stopped_topics: Sequence[str]
    heard: Heard
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """The form that scripts read."""
        return self.overview.as_json() | {
            "stopped_topics": list(self.stopped_topics),
            "unreachable": self.heard.unreachable,
            "at": self.at.isoformat(),
        }


def picture(seen: Seen) -> list[RenderableType]:
    """Tables, one below the other."""
    values = seen.overview.as_json()
    parts: list[RenderableType] = [
        show.pairs_of({"recordings": show.known(values["recordings"])}),
        show.table_of(("state", "recordings"), _counts(values["states"])),
        show.table_of(("blocked", "recordings"), _counts(values["blocked"])),
    ]
    if seen.blocked:
        parts.append(
            show.table_of(
                ("recording", "folder", "blocked", "why"),
                [(one.recording_id, one.folder_id, one.reason, one.message) for one in seen.blocked],
                title=f"Blocked, the first {BLOCKED_SHOWN} at most",
            )
        )
    rates = values["per_minute"] or {"acknowledged": None, "uploaded": None}
    parts.append(
        show.pairs_of(
            {
                "oldest pending": _age(seen.overview.linker, seen.at),
                "acknowledged, last minute": show.known(rates["acknowledged"]),
                "uploaded, last minute": show.known(rates["uploaded"]),
                **{f"way to the cloud, {service}": _lane(lane) for service, lane in seen.overview.lanes.items()},
                "parked links": _parked(seen.overview.linker),
                "dead letters": show.known(values["dead_letters"]),
            }
        )
    )
    return parts


def in_one_line(seen: Seen) -> str:
    """For a log, or whatever else is no terminal."""
    values = seen.overview.as_json()
    states = ", ".join(f"{state} {show.in_words(number)}" for state, number in _counts(values["states"]))
    some = (f"{reason} {show.in_words(number)}" for reason, number in _counts(values["blocked"]) if number)
    blocked = ", ".join(some) or "none"
    rate = values["per_minute"] and f"{values['per_minute']['acknowledged']:,}"
    silent = seen.heard.unreachable.values()
    stopped = "".join(f"; {why}" for why in (*seen.overview.stopped_lanes, *seen.stopped_topics, *silent))
    return f"{seen.at:%H:%M:%S}Z  {states}; blocked: {blocked}; acknowledged in the last minute: {rate or '-'}{stopped}"


def _counts(counts: Mapping[str, int | None]) -> list[tuple[str, object]]:
    return [(name, show.known(number)) for name, number in counts.items()]


def _age(linker: LinkerStatus | None, now: datetime) -> object:
    if linker is None:
        return show.UNKNOWN
    since = linker.oldest_pending_at
    if since is None:
        return None
    return f"{show.duration((now - since).total_seconds())}, linked at {show.moment(since)}"


def _parked(linker: LinkerStatus | None) -> str:
    if linker is None:
        return show.UNKNOWN
    return f"{linker.parked:,}" + (f" ({linker.parked_expired:,} expired)" if linker.parked_expired else "")


def _lane(lane: LaneState | None) -> str:
    if lane is None:
        return show.UNKNOWN
    return "open" if lane.open else f"stopped: {lane.reason}, {lane.message}"
