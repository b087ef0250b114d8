"""Reads a folder back from the cloud and compares it with what it should show; writes nothing.

It goes through the same lane as the pushes, so it keeps to the cloud's rate limit and waits while the lane is stopped.
A read is no proof that pushes work, so it never opens a stopped lane. What changes while the cloud is asked is looked
at again: a link that is pushed just then is no finding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.cloud_updater.comparison import Compared, Shown, attested, compare
from services.cloud_updater.seen_folders import FolderExpected, expected
from shared.cloud import Cloud, folder_path
from shared.database import Database
from shared.lane import Lane
from shared.outcome import Done, NoFolder, NoRoute, NothingDone, Outcome, RateLimited, Unknown

READ = "read"
LOOKS_MAX = 3


class NotRead(Exception):
    """The cloud does not say what it shows. `retry_s`: when it may be asked again, if asking again may help."""

    def __init__(self, why: str, *, retry_s: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_s = retry_s


@dataclass(frozen=True)
class Verified:
    """`observed`: by what the cloud shows; else only by what it has acknowledged."""

    folder_id: str
    observed: bool
    compared: Sequence[Compared]


@dataclass(frozen=True)
class VerifyFolders:
    """For one folder at a time."""

    database: Database
    cloud: Cloud
    lane: Lane

    async def verify(self, clouds_uuid: str) -> Verified | None:
        """None: no such folder is known. Raises NotRead, or LaneShut if it is not this request's turn."""
        before = await self._expected(clouds_uuid)
        if before is None:
            return None
        for _ in range(LOOKS_MAX):
            shown = await self._read(clouds_uuid)
            if shown is None:
                return Verified(before.folder_id, observed=False, compared=attested(before.recordings))
            compared = compare(before.recordings, shown)
            if all(one.verdict == "in_sync" for one in compared):
                break
            after = await self._expected(clouds_uuid)
            if after is None or after == before:
                break
            before = after
        return Verified(before.folder_id, observed=True, compared=compared)

    async def _read(self, clouds_uuid: str) -> Sequence[Shown] | None:
        """The files of the folder; None: the cloud cannot be read."""
        async with self.database.transaction() as connection:
            state = await self.lane.look(connection)
            if READ not in state.capabilities:
                return None
            if state.reason is not None:
                raise NotRead(f"the way to the cloud is stopped: {state.reason}, {state.message}")
            await self.lane.enter(connection, state)
        outcome = await self.cloud.read("read_folder", folder_path("/recording", clouds_uuid))
        if _concerns_pushes(outcome):
            await self.lane.report(outcome, entered=state)
        return _shown(outcome)

    async def _expected(self, clouds_uuid: str) -> FolderExpected | None:
        async with self.database.transaction() as connection:
            return await expected(connection, clouds_uuid)


def _concerns_pushes(outcome: Outcome) -> bool:
    """A way to read that is missing, broken or slow says nothing of the way to push; a limit is for both."""
    if isinstance(outcome, RateLimited):
        return True
    return not isinstance(outcome, NoRoute | NothingDone | Unknown)


def _shown(outcome: Outcome) -> Sequence[Shown]:
    match outcome:
        case Done(data):
            return _files(data)
        case NoFolder():
            return ()
        case RateLimited(message, retry_after_s):
            raise NotRead(f"the cloud wants fewer requests: {message}", retry_s=retry_after_s)
        case _:
            raise NotRead(f"the cloud does not show the folder: {outcome.message}")


def _files(answer: Mapping[str, Any]) -> Sequence[Shown]:
    """Raises NotRead if it is not as documented: a guess would be a finding, or none."""
    data = answer.get("data")
    files = data.get("files") if isinstance(data, dict) else None
    if not isinstance(files, list):
        raise NotRead("the cloud's answer has no data.files")
    shown = []
    for file in files:
        name, ticket, version = (
            (file.get("filename"), file.get("ticket_info"), file.get("link_version"))
            if isinstance(file, dict)
            else (None, None, None)
        )
        if not isinstance(name, str) or not isinstance(ticket, dict | None) or not isinstance(version, int | None):
            raise NotRead("a file in the cloud's answer is not as documented")
        shown.append(Shown(name, ticket, version))
    return shown
