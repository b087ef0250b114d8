"""How `ticketsync status` looks: as tables, as JSON, or in one line. Pure: what was seen in, what is shown out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import RenderableType

from ops import show
from ops.answers.status import BlockedRecording, LaneState
from ops.overview import Overview

BLOCKED_SHOWN = 20


@dataclass(frozen=True)
class Seen:
    """What all services said: the overview, the first that are blocked, and topics that are not read on."""

    overview: Overview
    blocked: Sequence[BlockedRecording]
    stopped_topics: Sequence[str]
    at: datetime

    def as_json(self) -> dict[str, Any]:
        """The form that scripts read."""
        return self.overview.as_json() | {"stopped_topics": list(self.stopped_topics), "at": self.at.isoformat()}


def picture(seen: Seen) -> list[RenderableType]:
    """Tables, one below the other."""
    values = seen.overview.as_json()
    parts: list[RenderableType] = [
        show.pairs_of({"recordings": values["recordings"]}),
        show.table_of(("state", "recordings"), list(values["states"].items())),
        show.table_of(("blocked", "recordings"), list(values["blocked"].items())),
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
    expired = f" ({values['parked_expired']:,} expired)" if values["parked_expired"] else ""
    parts.append(
        show.pairs_of(
            {
                "oldest pending": _age(seen.overview.linker.oldest_pending_at, seen.at),
                "acknowledged, last minute": rates["acknowledged"],
                "uploaded, last minute": rates["uploaded"],
                **{f"way to the cloud, {service}": _lane(lane) for service, lane in seen.overview.lanes.items()},
                "parked links": f"{values['parked']:,}{expired}",
                "dead letters": values["dead_letters"],
            }
        )
    )
    return parts


def in_one_line(seen: Seen) -> str:
    """For a log, or whatever else is no terminal."""
    values = seen.overview.as_json()
    states = ", ".join(f"{state} {number:,}" for state, number in values["states"].items())
    blocked = ", ".join(f"{reason} {number:,}" for reason, number in values["blocked"].items() if number) or "none"
    rate = values["per_minute"] and f"{values['per_minute']['acknowledged']:,}"
    stopped = "".join(f"; {why}" for why in (*seen.overview.stopped_lanes, *seen.stopped_topics))
    return f"{seen.at:%H:%M:%S}  {states}; blocked: {blocked}; acknowledged in the last minute: {rate or '-'}{stopped}"


def _age(since: datetime | None, now: datetime) -> str | None:
    if since is None:
        return None
    return f"{show.duration((now - since).total_seconds())}, linked at {since:%Y-%m-%d %H:%M:%S} UTC"


def _lane(lane: LaneState) -> str:
    return "open" if lane.open else f"stopped: {lane.reason}, {lane.message}"
