"""What becomes of a recording that is said to be in the cloud already: taken over, known, or in conflict.

In: what is said, and what the rows say, as values. Out: one of a closed union. Pure. The rule: nothing that this system
has sent or is sending is ever contradicted, and no name of a folder belongs to two recordings.
"""

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from schemas.adopted import Adopted
from schemas.events import TransferredFile
from schemas.fields import CloudsUuid, FolderId, RecordingId
from services.transfer.upload_body import size_text

Why = Literal[
    "already_elsewhere",  # transferred, and not to where it is said to be
    "other_folder",  # its RecordingProcessed names another
    "folder_elsewhere",  # the folder is in the cloud under another uuid
    "uuid_taken",  # the uuid is another folder's
    "busy",
    "filename_taken",
    "incomplete",  # a value that nobody has said
]


@dataclass(frozen=True)
class KnownFolder:
    """A folder's row. `busy`: a request of it is open, and may have its effect yet."""

    clouds_uuid: CloudsUuid | None = None
    busy: bool = False


@dataclass(frozen=True)
class KnownFile:
    """What is known of a recording: its RecordingProcessed, and where it was transferred to; None if neither."""

    processed_folder_id: FolderId | None = None
    filename: str | None = None
    size_bytes: int | None = None
    token: int | None = None
    transcript: str | None = None
    transferred_to: tuple[FolderId, CloudsUuid, str] | None = None


@dataclass
class Known:
    """All that a lot needs; grows with what is taken over. `names`: whose a name of a folder is; `uuids`: which folder
    a uuid is.
    """

    folders: dict[FolderId, KnownFolder] = field(default_factory=dict)
    files: dict[RecordingId, KnownFile] = field(default_factory=dict)
    names: dict[tuple[FolderId, str], RecordingId] = field(default_factory=dict)
    uuids: dict[CloudsUuid, FolderId] = field(default_factory=dict)


@dataclass(frozen=True)
class Adopt:
    """It becomes a transferred recording with this file."""

    said: Adopted
    file: TransferredFile


@dataclass(frozen=True)
class Already:
    """It is known to be there, under this name."""

    filename: str


@dataclass(frozen=True)
class Conflict:
    """It is not taken over. `message` is for a person."""

    why: Why
    message: str


Adoption: TypeAlias = Adopt | Already | Conflict


def decide_adoption(said: Adopted, known: Known) -> Adoption:
    """What becomes of one; what follows for those after it is noted in `known`."""
    file = known.files.get(said.recording_id, KnownFile())
    filename = said.filename or file.filename
    if file.transferred_to is not None:
        folder_id, clouds_uuid, name = file.transferred_to
        if (folder_id, clouds_uuid) == (said.folder_id, said.clouds_uuid) and filename in {None, name}:
            return Already(name)
        return Conflict("already_elsewhere", f"it is in folder {folder_id}, {clouds_uuid}, as {name}")
    if file.processed_folder_id not in {None, said.folder_id}:
        return Conflict("other_folder", f"its RecordingProcessed names folder {file.processed_folder_id}")
    in_folder = _decide_folder(said, known)
    if in_folder is not None:
        return in_folder
    size = said.size or (None if said.size_bytes is None else size_text(said.size_bytes))
    size = size or (None if file.size_bytes is None else size_text(file.size_bytes))
    token = file.token if said.token is None else said.token
    transcript = said.transcript or file.transcript
    if filename is None or size is None or token is None or transcript is None:
        given = {"filename": filename, "size": size, "token": token, "transcript": transcript}
        missing = ", ".join(name for name, value in given.items() if value is None)
        return Conflict("incomplete", f"no RecordingProcessed says its {missing}, so the line has to")
    owner = known.names.get((said.folder_id, filename))
    if owner is not None:
        return Conflict("filename_taken", f"{filename} of this folder is recording {owner}")
    known.names[said.folder_id, filename] = said.recording_id
    known.uuids[said.clouds_uuid] = said.folder_id
    known.folders[said.folder_id] = KnownFolder(said.clouds_uuid)
    known.files[said.recording_id] = replace(file, transferred_to=(said.folder_id, said.clouds_uuid, filename))
    return Adopt(said, TransferredFile(filename=filename, size=size, token=token, transcribe=transcript))


def _decide_folder(said: Adopted, known: Known) -> Conflict | None:
    """None: it may be there."""
    folder = known.folders.get(said.folder_id, KnownFolder())
    if folder.busy:
        return Conflict("busy", "an upload into this folder is under way or held: when that is over, adopt again")
    if folder.clouds_uuid not in {None, said.clouds_uuid}:
        return Conflict("folder_elsewhere", f"folder {said.folder_id} is in the cloud as {folder.clouds_uuid}")
    owner = known.uuids.get(said.clouds_uuid)
    if owner not in {None, said.folder_id}:
        return Conflict("uuid_taken", f"this clouds_uuid is folder {owner}")
    return None
