"""Finds what waits for a person before it is in the cloud: transfer's held folders and rejected recordings.

That the cloud has lost a folder is often known to cloud_updater alone, which pushes to folders that nobody uploads to
any more; so it is asked as well. Tickets that the cloud refuses are another matter, which a resync tries again: they
are counted, so that nobody takes an empty list for a site where nothing is refused. All that waits is in memory, since
a decision is about what was listed; so a case is small, and texts that many have are there once.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from sys import intern
from typing import NamedTuple

from ops.addresses import Addresses
from ops.answers.held import (
    AllWaiting,
    HeldFolder,
    HeldFolders,
    PushedRecording,
    TransferRecording,
    Waiting,
)
from ops.answers.status import CloudUpdaterStatus
from ops.heard import Heard
from ops.lookup import about_recording, folder_by_id, one_folder
from ops.pages import BLOCKED_PAGE, pages
from ops.service_api import Parameters, ServiceApi, api
from shared.path_segment import path_segment

PAGE = 1_000
MISSING = "missing_in_cloud"
UNKNOWN = "outcome_unknown"
REJECTED = "rejected"


class FolderCase(NamedTuple):
    """A folder that waits. `request_id`, `files`: of its open request. `adds`: to a folder that the cloud has."""

    reason: str
    folder_id: str
    clouds_uuid: str | None
    message: str | None
    files: int
    adds: bool
    request_id: str | None = None

    @property
    def named(self) -> str | None:
        """What a table shows of it."""
        return self.clouds_uuid


class RejectedCase(NamedTuple):
    """A recording that the cloud, or a rule, refuses."""

    recording_id: str
    folder_id: str | None
    message: str | None
    reason: str = REJECTED

    @property
    def named(self) -> str:
        """What a table shows of it."""
        return self.recording_id


@dataclass(frozen=True)
class Held:
    """What waits for a person. `refused_tickets`: recordings that are in the cloud and whose ticket it refuses; None:
    nobody says, or was asked.
    """

    # Left out of repr, which asyncio.run makes of what it returns: it would be larger than all of this.
    folders: Sequence[FolderCase] = field(repr=False)
    rejected: Sequence[RejectedCase] = field(repr=False)
    refused_tickets: int | None = None


@dataclass(frozen=True)
class _Asked:
    """The services that know what is held; cloud_updater may be silent."""

    transfer: ServiceApi
    cloud_updater: ServiceApi
    heard: Heard


async def held(
    addresses: Addresses, heard: Heard, folder: str | None, recordings: Sequence[str], reason: str | None
) -> Held:
    """Everything, or what is in this folder, or these recordings and their folders; for one reason or any.

    What cloud_updater alone knows is missing while it does not answer. Raises Finding for a folder or recording that
    nobody knows, Unreachable without transfer.
    """
    async with api(addresses, "transfer") as transfer, api(addresses, "cloud_updater") as cloud_updater:
        asked = _Asked(transfer, cloud_updater, heard)
        folder_id = await _folder_id(addresses, transfer, folder)
        found = await (_of_recordings(asked, recordings) if recordings else _of_folders(asked, folder_id, reason))
        refused = await _refused_tickets(asked, folder_id, recordings) if reason in {None, REJECTED} else None
    folders = [one for one in found.folders if reason in {None, one.reason}]
    return Held(folders, found.rejected if reason in {None, REJECTED} else [], refused)


async def _folder_id(addresses: Addresses, transfer: ServiceApi, folder: str | None) -> str | None:
    """transfer knows folders by their ids; the linker knows names."""
    if folder is None:
        return None
    if await folder_by_id(transfer, folder):
        return folder
    async with api(addresses, "linker") as linker:
        return (await one_folder(linker, folder)).folder_id


async def _of_recordings(asked: _Asked, recordings: Sequence[str]) -> Held:
    folders: dict[str, FolderCase] = {}
    rejected = []
    for recording_id in dict.fromkeys(recordings):
        one = await about_recording(asked.transfer, recording_id, TransferRecording)
        if one.blocked and one.blocked.reason == REJECTED:
            rejected.append(RejectedCase(recording_id, one.folder_id, one.blocked.message))
        elif one.folder_id not in folders:
            here = _cases([await folder_by_id(asked.transfer, one.folder_id)]) if one.blocked else []
            cases = here or (await _known_to_be_lost(asked, one.folder_id)).values()
            folders.update({case.folder_id: case for case in cases})
    return Held(list(folders.values()), rejected)


async def _of_folders(asked: _Asked, folder_id: str | None, reason: str | None) -> Held:
    transfer = asked.transfer
    if folder_id:
        listed = _cases([await folder_by_id(transfer, folder_id)])
    else:
        listed = [one async for page in _held_folders(transfer) for one in _cases(page)]
    cases = {one.folder_id: one for one in listed}
    if reason in {None, MISSING}:
        cases = {**await _known_to_be_lost(asked, folder_id), **cases}
    rejected = []
    if reason in {None, REJECTED}:
        rejected = [
            RejectedCase(one.recording_id, _once(one.folder_id), _once(one.message))
            async for page in _blocked(transfer, {"folder": folder_id, "reason": REJECTED})
            for one in page
        ]
    return Held([cases[one] for one in sorted(cases)], rejected)


async def _refused_tickets(asked: _Asked, folder_id: str | None, recordings: Sequence[str]) -> int | None:
    """Of these recordings, else of the folder or all."""
    updater = asked.cloud_updater
    if not recordings:
        said = await asked.heard.said(updater, updater.get("/status", CloudUpdaterStatus, {"folder": folder_id}))
        return None if said is None else said.blocked.get("rejected", 0)
    refused = 0
    for recording_id in dict.fromkeys(recordings):
        path = f"/recordings/{path_segment(recording_id)}"
        one = await asked.heard.said(updater, updater.find(path, PushedRecording))
        if updater.service in asked.heard.unreachable:
            return None
        refused += bool(one and one.blocked and one.blocked.reason == REJECTED)
    return refused


async def _known_to_be_lost(asked: _Asked, folder_id: str | None) -> dict[str, FolderCase]:
    """Folders that the cloud has lost, as cloud_updater has met it when it pushed."""
    messages = await asked.heard.said(asked.cloud_updater, _lost(asked.cloud_updater, folder_id)) or {}
    return {
        lost_id: FolderCase(MISSING, lost_id, folder.clouds_uuid, message, files=0, adds=False)
        for lost_id, message in messages.items()
        if (folder := await folder_by_id(asked.transfer, lost_id)) and folder.clouds_uuid
    }


async def _lost(cloud_updater: ServiceApi, folder_id: str | None) -> dict[str, str | None]:
    """The folders of recordings that wait for one that the cloud has lost, and what it said."""
    found = _blocked(cloud_updater, {"folder": folder_id, "reason": MISSING})
    return {one.folder_id: one.message async for page in found for one in page if one.folder_id}


def _cases(folders: Sequence[HeldFolder | None]) -> list[FolderCase]:
    return [
        FolderCase(
            one.held,
            one.folder_id,
            one.clouds_uuid,
            _once(one.last_error),
            files=one.open_request.files if one.open_request else 0,
            adds=one.open_request is not None and one.open_request.kind == "inject",
            request_id=one.open_request.request_id if one.open_request else None,
        )
        for one in folders
        if one and one.held
    ]


async def _held_folders(transfer: ServiceApi) -> AsyncIterator[list[HeldFolder]]:
    page = (await transfer.get("/folders", HeldFolders, {"held": "true", "limit": PAGE})).items
    while page:
        yield page
        params: Parameters = {"held": "true", "after": page[-1].folder_id, "limit": PAGE}
        page = (await transfer.get("/folders", HeldFolders, params)).items if len(page) == PAGE else []


def _blocked(service: ServiceApi, conditions: Mapping[str, str | None]) -> AsyncIterator[Sequence[Waiting]]:
    return pages(service, "/blocked", AllWaiting, conditions, page_size=BLOCKED_PAGE)


def _once(text: str | None) -> str | None:
    """The same text, one object for all that have it."""
    return None if text is None else intern(text)
