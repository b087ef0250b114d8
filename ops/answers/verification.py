"""What the cloud shows."""

from typing import Literal

from ops.answers import Answer, PageOf

Verdict = Literal["in_sync", "stale", "ticket_mismatch", "missing_in_cloud", "extra_in_cloud"]


class CloudFolder(Answer):
    """A folder in the cloud, as cloud_updater knows it."""

    clouds_uuid: str
    folder_id: str
    recordings: int


class CloudFolders(PageOf[CloudFolder]):
    """A page of them."""


class Compared(Answer):
    """A recording, or a file of the cloud that is none, with what was found there."""

    recording_id: str | None
    filename: str
    verdict: Verdict
    link_version: int
    shown_link_version: int | None
    shown_ticket_id: str | None


class Verification(Answer):
    """What a folder shows. `observed`: by the cloud itself, and not only by what it has acknowledged."""

    folder_id: str
    observed: bool
    counts: dict[Verdict, int]
    items: list[Compared]


class CloudRecording(Answer):
    """Where a recording is in the cloud."""

    recording_id: str
    clouds_uuid: str | None
