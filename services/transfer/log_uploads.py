"""The log line of an upload: info if the cloud has it, warning if it goes again, error if it needs a person.

Never a ticket or a transcript: a line names folders and recordings, and the cloud's own words, which hold nothing of
what was sent (shared/echo.py).
"""

from collections.abc import Mapping
from typing import assert_never

import structlog

from schemas.fields import FolderId, RecordingId
from services.transfer.answers import (
    Conclusion,
    FolderMissing,
    HoldRequest,
    Narrow,
    Release,
    Repeat,
    Transferred,
)
from services.transfer.requests import OpenRequest
from services.transfer.uploads import Folder

log = structlog.get_logger()

REFUSALS_LOGGED = 20


def log_upload(request: OpenRequest, folder: Folder, conclusion: Conclusion, *, recorded: bool) -> None:
    """Say what became of this request."""
    said = {
        "folder_id": request.folder_id,
        "request_id": str(request.id),
        "kind": request.kind,
        "files": len(request.files),
        "outcome": type(conclusion).__name__,
        "attempt": folder.failures + 1,
    }
    if not recorded:
        log.warning("outcome not recorded, the lease was lost", **said)
        return
    match conclusion:
        case Transferred():
            log.info("recordings uploaded", **said)
        case Release(message) | Repeat(message):
            log.warning("recordings not uploaded", **said, message=message, wait_s=round(conclusion.wait_s, 1))
        case Narrow(_, rejected) if rejected:
            _log_each(rejected, "recording refused by the cloud", **said)
            log.error("recordings refused by the cloud", **said, refused=len(rejected))
        case Narrow(message):
            log.warning("recordings not uploaded", **said, message=message)
        case HoldRequest():
            log.error("an operator has to look at this folder", **said, message=conclusion.in_words)
        case FolderMissing(message):
            log.error("an operator has to look at this folder", **said, message=message)
        case never:
            assert_never(never)


def log_refused(refused: Mapping[RecordingId, str], folder_id: FolderId) -> None:
    """Say which recordings cannot go into their folder as they are."""
    _log_each(refused, "recording refused", folder_id=folder_id)


def _log_each(refused: Mapping[RecordingId, str], event: str, **said: object) -> None:
    """A line for each of the first, with its own reason: they need a person."""
    for recording_id, reason in sorted(refused.items())[:REFUSALS_LOGGED]:
        log.error(event, **said, recording_id=recording_id, message=reason)
