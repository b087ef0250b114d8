"""Finds what waits for a person before it is in the cloud: transfer's held folders and rejected recordings.

That the cloud has lost a folder is often known to cloud_updater alone, which pushes to folders that nobody uploads to
any more; so it is asked as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ops.addresses import Addresses
from ops.answers.held import HeldFolder, HeldFolders, TransferRecording
from ops.answers.status import BlockedRecording, BlockedRecordings
from ops.lookup import about_recording, one_folder
from ops.pages import whole
from ops.service_api import Refused, ServiceApi, api
from shared.path_segment import path_segment

PAGE = 1_000
MISSING = "missing_in_cloud"
UNKNOWN = "outcome_unknown"
REJECTED = "rejected"


@dataclass(frozen=True)
class FolderCase:
    """A folder that waits. `files`: of its open request. `adds`: they were sent to a folder that the cloud has."""

    reason: str
    folder_id: str
    clouds_uuid: str | None
    message: str | None
    files: int
    adds: bool

    @property
    def named(self) -> str | None:
        """What a table shows of it."""
        return self.clouds_uuid


@dataclass(frozen=True)
class RejectedCase:
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
    """What waits for a person."""

    folders: Sequence[FolderCase]
    rejected: Sequence[RejectedCase]


async def held(addresses: Addresses, folder: str | None, recordings: Sequence[str], reason: str | None) -> Held:
    """Everything, or what is in this folder, or these recordings and their folders; for one reason or any.

    Raises Finding for a folder or recording that nobody knows.
    """
    async with api(addresses, "transfer") as transfer:
        if recordings:
            found = await _of_recordings(addresses, transfer, recordings)
        else:
            folder_id = await _folder_id(addresses, transfer, folder)
            found = await _of_folders(addresses, transfer, folder_id, reason)
    if reason is None:
        return found
    return Held([one for one in found.folders if one.reason == reason], found.rejected if reason == REJECTED else [])


async def _folder_id(addresses: Addresses, transfer: ServiceApi, folder: str | None) -> str | None:
    """transfer knows folders by their ids; the linker knows names."""
    if folder is None:
        return None
    if await _folder(transfer, folder):
        return folder
    async with api(addresses, "linker") as linker:
        return (await one_folder(linker, folder)).folder_id


async def _of_recordings(addresses: Addresses, transfer: ServiceApi, recordings: Sequence[str]) -> Held:
    folders: dict[str, FolderCase] = {}
    rejected = []
    for recording_id in dict.fromkeys(recordings):
        one = await about_recording(transfer, recording_id, TransferRecording)
        if one.blocked and one.blocked.reason == REJECTED:
            rejected.append(RejectedCase(recording_id, one.folder_id, one.blocked.message))
        elif one.folder_id not in folders:
            here = _cases(await _folder(transfer, one.folder_id)) if one.blocked else []
            cases = here or (await _known_to_be_lost(addresses, transfer, one.folder_id)).values()
            folders.update({case.folder_id: case for case in cases})
    return Held(list(folders.values()), rejected)


async def _of_folders(addresses: Addresses, transfer: ServiceApi, folder_id: str | None, reason: str | None) -> Held:
    folders = await _folder(transfer, folder_id) if folder_id else await _held_folders(transfer)
    cases = {one.folder_id: one for one in _cases(folders)}
    if reason in {None, MISSING}:
        cases = {**await _known_to_be_lost(addresses, transfer, folder_id), **cases}
    rejected = []
    if reason in {None, REJECTED}:
        rejected = [
            RejectedCase(one.recording_id, one.folder_id, one.message)
            for one in await _blocked(transfer, {"folder": folder_id, "reason": REJECTED})
        ]
    return Held([cases[one] for one in sorted(cases)], rejected)


async def _known_to_be_lost(addresses: Addresses, transfer: ServiceApi, folder_id: str | None) -> dict[str, FolderCase]:
    """Folders that the cloud has lost, as cloud_updater has met it when it pushed."""
    async with api(addresses, "cloud_updater") as cloud_updater:
        lost = await _blocked(cloud_updater, {"folder": folder_id, "reason": MISSING})
    messages = {one.folder_id: one.message for one in lost if one.folder_id}
    return {
        lost_id: case
        for lost_id, message in messages.items()
        for case in _lost(await _folder(transfer, lost_id), message)
    }


def _cases(folders: Sequence[HeldFolder]) -> list[FolderCase]:
    return [
        FolderCase(
            one.held,
            one.folder_id,
            one.clouds_uuid,
            one.last_error,
            files=one.open_request.files if one.open_request else 0,
            adds=one.open_request is not None and one.open_request.kind == "inject",
        )
        for one in folders
        if one.held
    ]


def _lost(folders: Sequence[HeldFolder], message: str | None) -> list[FolderCase]:
    return [
        FolderCase(MISSING, one.folder_id, one.clouds_uuid, message, files=0, adds=False)
        for one in folders
        if one.clouds_uuid
    ]


async def _folder(transfer: ServiceApi, folder_id: str) -> list[HeldFolder]:
    """Empty if transfer does not know it."""
    try:
        return [await transfer.get(f"/folders/{path_segment(folder_id)}", HeldFolder)]
    except Refused as refused:
        if refused.status != 404:  # noqa: PLR2004 - HTTP's own number
            raise
        return []


async def _held_folders(transfer: ServiceApi) -> list[HeldFolder]:
    found: list[HeldFolder] = []
    while True:
        after = found[-1].folder_id if found else ""
        page = (await transfer.get("/folders", HeldFolders, {"held": "true", "after": after, "limit": PAGE})).items
        found += page
        if len(page) < PAGE:
            return found


async def _blocked(service: ServiceApi, conditions: Mapping[str, str | None]) -> list[BlockedRecording]:
    return await whole(service, "/blocked", BlockedRecordings, conditions)
