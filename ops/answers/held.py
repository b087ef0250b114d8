"""What waits for a person before it is in the cloud, as transfer knows it."""

from ops.answers import Answer, PageOf


class HeldRequest(Answer):
    """A folder's request of which the outcome is open."""

    request_id: str
    kind: str
    files: int


class HeldFolder(Answer):
    """A folder as transfer knows it; `held` says why it waits for a person."""

    folder_id: str
    clouds_uuid: str | None
    held: str | None
    last_error: str | None
    open_request: HeldRequest | None


class HeldFolders(Answer):
    """Some folders, in the order of their ids."""

    items: list[HeldFolder]


class WhyBlocked(Answer):
    """What blocks a recording."""

    reason: str
    message: str | None


class TransferRecording(Answer):
    """A recording as transfer knows it."""

    recording_id: str
    folder_id: str
    blocked: WhyBlocked | None


class PushedRecording(Answer):
    """A recording as cloud_updater knows it."""

    blocked: WhyBlocked | None


class Retried(Answer):
    """Which recordings were rejected and wait for their upload again."""

    retried: list[str]


class Waiting(Answer):
    """A recording that waits."""

    recording_id: str
    folder_id: str | None
    message: str | None


class AllWaiting(PageOf[Waiting]):
    """A page of them."""
