"""What `ticketsync resync` is about: everything, a folder, or the recordings that meet some conditions.

cloud_updater knows folders and recordings by their ids; whatever else is asked for, the linker knows which recordings
that are. An event holds a limited number of ids, so many recordings are several requests; none is left out.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ops.answers.recordings import RecordingIds
from ops.answers.status import LinkerStatus
from ops.exits import Finding, WrongInput
from ops.given import check_between, moment
from ops.lookup import one_folder, one_recording
from ops.pages import pages
from ops.service_api import ServiceApi
from schemas.events import RESYNC_RECORDINGS_MAX

PAGE = 20_000


@dataclass(frozen=True)
class Asked:
    """The options as they were given."""

    everything: bool
    folder: str | None
    recordings: Sequence[str]
    ticket: str | None
    since: str | None
    until: str | None
    state: str | None

    @property
    def conditions(self) -> dict[str, str]:
        """Those that only the linker can judge, by the names of its API."""
        given = {
            "ticket": self.ticket,
            "from": moment("--since", self.since),
            "to": moment("--until", self.until),
            "state": self.state,
        }
        return {name: value for name, value in given.items() if value is not None}

    def check(self) -> None:
        """Raises WrongInput unless the options go together."""
        conditions = self.conditions
        by_condition = self.folder is not None or bool(conditions)
        if self.everything + bool(self.recordings) + by_condition != 1:
            raise WrongInput(
                "say which: --all, or --recording R, or any of --folder F, --ticket T, --since, --until and --state S"
            )
        check_between(conditions.get("from"), conditions.get("to"))


@dataclass(frozen=True)
class Selected:
    """`requests`: what each event selects. `not_transferred`: recordings, where cloud_updater does not know them."""

    requests: Sequence[dict[str, Any]]
    not_transferred: int | None = None


async def select(linker: ServiceApi, asked: Asked) -> Selected:
    """Raises Finding if nobody knows the folder, the ticket or a recording."""
    if asked.recordings:
        found = [await one_recording(linker, one) for one in dict.fromkeys(asked.recordings)]
        return Selected(in_lots(sorted((one.folder_id, one.recording_id) for one in found)))
    folder_id = None if asked.folder is None else (await one_folder(linker, asked.folder)).folder_id
    if asked.conditions:
        met = await _meeting(linker, {**asked.conditions, "folder": folder_id})
        if asked.ticket is not None and not met:
            todo = f"Does it wait for its recording? ticketsync explain -- {shlex.quote(asked.ticket)}"
            raise Finding(f"no recording that is meant has the ticket {asked.ticket}", todo=todo)
        return Selected(in_lots(met))
    status = await linker.get("/status", LinkerStatus, {"folder": folder_id})
    selection = {"all": True} if folder_id is None else {"folder_id": folder_id}
    return Selected([selection], status.states.get("not_transferred", 0))


async def _meeting(linker: ServiceApi, conditions: dict[str, str | None]) -> list[tuple[str, str]]:
    found = pages(linker, "/recording-ids", RecordingIds, conditions, page_size=PAGE)
    return sorted([one async for page in found for one in page])


def shares_of(rate: int | None, requests: Sequence[int]) -> list[int | None]:
    """How many a minute each of several resyncs may send that run side by side, so that all keep to `rate` and end
    together. `requests`: of each, as planned. Raises WrongInput if it is less than one for each.
    """
    if rate is None:
        return [None] * len(requests)
    spare = rate - len(requests)
    if spare < 0:
        raise WrongInput(
            f"--rate {rate}/m: so many recordings are {len(requests)} resyncs of at least 1/m each",
            todo=f"Say --rate {len(requests)}/m or more, or select fewer.",
        )
    parts = [number + 1 for number in requests]  # what has nothing to send now may have then
    return [1 + spare * part // sum(parts) for part in parts]


def in_lots(found: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """Folder by folder, so that few folders are in two requests."""
    ids = [recording_id for _, recording_id in found]
    return [
        {"recording_ids": ids[first : first + RESYNC_RECORDINGS_MAX]}
        for first in range(0, len(ids), RESYNC_RECORDINGS_MAX)
    ]
