"""Finds the folder or the recording that somebody names; an unknown or ambiguous name is a finding, never a guess."""

import shlex
from collections.abc import Sequence
from typing import Any

from ops.answers import Anything
from ops.answers.held import HeldFolder
from ops.answers.recordings import Folder, Folders, Recording, Recordings
from ops.exits import Finding, WrongInput
from ops.heard import Heard
from ops.overview import Services
from ops.pages import first
from ops.service_api import Answer, ServiceApi
from shared.path_segment import path_segment

CANDIDATES_MAX = 50


def check_folder(name: str) -> None:
    """Raises WrongInput: an empty name, as of a variable that is not set, is not the same as none."""
    if not name:
        raise WrongInput("the name of a folder is empty")


async def one_folder(linker: ServiceApi, name: str) -> Folder:
    """The folder of that id, else the only one of that name. Raises Finding."""
    check_folder(name)
    found, more = await first(linker, "/folders", Folders, {"folder": name}, limit=CANDIDATES_MAX)
    if not found:
        raise Finding(f"no folder has the id or the name {name}", todo="Has it been read yet? ticketsync lag")
    if len(found) > 1:
        ids = _in_short([folder.folder_id for folder in found], more=more)
        raise Finding(f"{_number(found, more=more)} folders have the name {name}", todo=f"Name one by its id: {ids}")
    return found[0]


async def folder_id_of(linker: ServiceApi, name: str | None) -> str | None:
    """The id of the folder of that id or name; None, which stands for all folders, stays None. Raises Finding."""
    return None if name is None else (await one_folder(linker, name)).folder_id


async def folder_id_as_heard(asked: Services, heard: Heard, name: str | None) -> str | None:
    """The same; while linker does not answer, transfer knows a folder by its id. Raises Finding or Unreachable."""
    if name is None:
        return None
    if found := await heard.said(asked.linker, one_folder(asked.linker, name)):
        return found.folder_id
    if not await heard.said(asked.transfer, folder_by_id(asked.transfer, name)):
        heard.require_all(meanwhile="Without linker a folder is found by its id alone, not by its name.")
    return name


async def folder_by_id(transfer: ServiceApi, folder_id: str) -> HeldFolder | None:
    """What transfer says of a folder; None: it has never heard of it."""
    check_folder(folder_id)
    return await transfer.find(f"/folders/{path_segment(folder_id)}", HeldFolder)


async def one_recording(linker: ServiceApi, recording: str, folder: str | None = None) -> Recording:
    """The recording of that id or, with a folder, of that filename in it. Raises Finding."""
    if folder is None:
        return await about_recording(linker, recording, Recording)
    where = await one_folder(linker, folder)
    conditions = {"folder": where.folder_id, "filename": recording}
    found, more = await first(linker, "/recordings", Recordings, conditions, limit=CANDIDATES_MAX)
    if not found:
        raise Finding(f"folder {where.folder_id} has no recording {recording}")
    if len(found) > 1:
        ids = _in_short([one.recording_id for one in found], more=more)
        number = _number(found, more=more)
        raise Finding(f"{number} recordings are called {recording}", todo=f"Name one by its id: {ids}")
    return found[0]


def _number(found: Sequence[object], *, more: bool) -> str:
    return f"more than {len(found)}" if more else str(len(found))


def _in_short(ids: Sequence[str], *, more: bool) -> str:
    return ", ".join(ids) + (", …" if more else "")


async def about_recording(service: ServiceApi, recording_id: str, answer: type[Answer]) -> Answer:
    """What a service knows of one recording. Raises Finding if it has never heard of it."""
    if not recording_id:
        raise WrongInput("the name of a recording is empty")
    if found := await service.find(f"/recordings/{path_segment(recording_id)}", answer):
        return found
    # Not every command that takes an id takes a filename with its folder.
    todo = f"If it is a filename, find its recording_id: ticketsync explain -- {shlex.quote(recording_id)}"
    raise unknown_recording(service.service, recording_id, todo=todo)


def unknown_recording(
    service: str, recording_id: str, *, todo: str = "If it is a filename, name its folder: --folder F."
) -> Finding:
    """That a service has never heard of it."""
    return Finding(f"{service} knows no recording {recording_id}", todo=todo)


async def if_known(service: ServiceApi, recording_id: str) -> dict[str, Any] | None:
    """What a service says of a recording; None: it has never heard of it."""
    try:
        return (await about_recording(service, recording_id, Anything)).root
    except Finding:
        return None
